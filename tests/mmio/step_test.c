/* SPDX-License-Identifier: MIT
 *
 * Instructions before and after, each run with the status flags all 0 and all 1: what the text does not name,
 * and the flags that the case does not list, must keep their values.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "ept/walk.h"
#include "mmio/run.h"
#include "tests/harness.h"
#include "tests/mmio/machine.h"

struct row {
    const char *name;
    enum test_mode mode;
    const char *code; /* hexadecimal */
    const char *before, *after;
    /* A letter for each status flag that changes, in capitals where it is set then; lower case where it is
     * clear; after a ? those that are undefined. c p a z s o */
    const char *flags;
};

static const struct row rows[] = {
    /* moves */
    {"mov [rbx], rax", TEST_64, "488903", "rax=1122334455667788 rbx=20010", "[20010]8=1122334455667788", ""},
    {"mov [rbx], al", TEST_64, "8803", "rax=1122334455667788 rbx=20010", "[20010]8=88", ""},
    {"mov eax, [rbx]", TEST_64, "8b03", "rax=ffffffffffffffff rbx=20010 [20010]8=1122334455667788",
     "rax=55667788", ""},
    {"mov ah, [rbx]", TEST_64, "8a23", "rax=ffffffffffffffff rbx=20010 [20010]1=12", "rax=ffffffffffff12ff",
     ""},
    {"mov ax, imm", TEST_64, "66b83412", "rax=ffffffffffffffff", "rax=ffffffffffff1234", ""},
    {"mov qword [rbx], -2", TEST_64, "48c703feffffff", "rbx=20010", "[20010]8=fffffffffffffffe", ""},
    {"mov rax, [abs]", TEST_64, "48a11000020000000000", "[20010]8=123456789", "rax=123456789", ""},
    {"mov eax, [rip+x]", TEST_64, "8b0500f00000", "[1fff6]4=76543210", "rax=76543210", ""},
    {"mov eax, fs:[0x10]", TEST_64, "648b042510000000", "fs.base=20000 [20010]4=76543210", "rax=76543210",
     ""},
    {"movbe eax, [rbx]", TEST_64, "0f38f003", "rax=ffffffffffffffff rbx=20010 [20010]4=11223344",
     "rax=44332211", ""},
    {"movbe [rbx], ax", TEST_64, "660f38f103", "rax=1234 rbx=20010", "[20010]2=3412", ""},
    {"movzx eax, byte [rbx]", TEST_64, "0fb603", "rax=ffffffffffffffff rbx=20010 [20010]1=80", "rax=80", ""},
    {"movsx rax, word [rbx]", TEST_64, "480fbf03", "rbx=20010 [20010]2=8000", "rax=ffffffffffff8000", ""},
    {"movsxd rax, [rbx]", TEST_64, "486303", "rbx=20010 [20010]4=80000000", "rax=ffffffff80000000", ""},
    {"xchg [rbx], eax", TEST_64, "8703", "rax=ffffffff11111111 rbx=20010 [20010]4=22222222",
     "rax=22222222 [20010]4=11111111", ""},
    {"bswap rax", TEST_64, "480fc8", "rax=1122334455667788", "rax=8877665544332211", ""},
    {"lea eax, [rbx+rcx*4-1]", TEST_64, "8d448bff", "rax=ffffffffffffffff rbx=100000001 rcx=3", "rax=c", ""},
    {"lea ax, [bx+si]", TEST_32, "66678d00", "rax=ffffffff rbx=fff0 rsi=20", "rax=ffff0010", ""},
    {"xlat", TEST_64, "d7", "rax=1105 rbx=20000 [20005]1=77", "rax=1177", ""},
    {"cbw", TEST_64, "6698", "rax=1180", "rax=ff80", ""},
    {"cqo", TEST_64, "4899", "rax=8000000000000000", "rdx=ffffffffffffffff", ""},
    {"movdir64b rax, [rbx]", TEST_64, "660f38f803", "rax=20040 rbx=20080 [20080]8=1 [200b8]8=2",
     "[20040]8=1 [20078]8=2", ""},
    {"movnti [rbx], eax", TEST_64, "0fc303", "rax=12345678 rbx=20010", "[20010]4=12345678", ""},
    {"lahf", TEST_64, "9f", "CF=1 ZF=1 PF=0 AF=0 SF=0", "rax=4300", "CzZpas"},
    {"les eax, [ebx]", TEST_32, "c403", "rbx=20010 [20010]4=11223344 [20014]2=60",
     "rax=11223344 es=60 es.limit=ffffffff", ""},
    /* arithmetic */
    {"add [rbx], al", TEST_64, "0003", "rax=1 rbx=20010 [20010]2=1ff", "[20010]2=100", "CPAZso"},
    {"add eax, ebx", TEST_64, "01d8", "rax=ffffffff7fffffff rbx=1", "rax=80000000", "cPAzSO"},
    {"add rax, -1", TEST_64, "4883c0ff", "rax=0", "rax=ffffffffffffffff", "cPazSo"},
    {"sub [rbx], ax", TEST_64, "662903", "rax=1 rbx=20010 [20010]2=8000", "[20010]2=7fff", "cPAzsO"},
    {"cmp rax, rbx", TEST_64, "4839d8", "rax=0 rbx=8000000000000000", "", "CPazSO"},
    {"and [rbx], eax", TEST_64, "2103", "rax=f0 rbx=20010 [20010]4=8000000f", "[20010]4=0", "cPaZso"},
    {"or al, 80", TEST_64, "0c80", "rax=100", "rax=180", "cpazSo"},
    {"xor eax, eax", TEST_64, "31c0", "rax=ffffffffffffffff", "rax=0", "cPaZso"},
    {"test [rbx], al", TEST_64, "8403", "rax=80 rbx=20010 [20010]1=ff", "[20010]1=ff", "cpazSo"},
    {"inc byte [rbx]", TEST_64, "fe03", "rbx=20010 [20010]2=7f", "[20010]2=80", "pAzSO"},
    {"dec rax", TEST_64, "48ffc8", "rax=0", "rax=ffffffffffffffff", "PAzSo"},
    {"not dword [rbx]", TEST_64, "f713", "rbx=20010 [20010]8=0", "[20010]8=ffffffff", ""},
    {"neg al", TEST_64, "f6d8", "rax=80", "rax=80", "CpazSO"},
    {"neg eax of 0", TEST_64, "f7d8", "rax=0", "rax=0", "cPaZso"},
    {"adc al, 0, carry in", TEST_64, "1400", "CF=1 rax=ff", "rax=0", "CPAZso"},
    {"adc rax, -1, carry in", TEST_64, "4883d0ff", "CF=1 rax=5", "rax=5", "CPAzso"},
    {"sbb al, -1, carry in", TEST_64, "1cff", "CF=1 rax=0", "rax=0", "CPAZso"},
    {"mul byte [rbx]", TEST_64, "f623", "rax=ff10 rbx=20010 [20010]1=10", "rax=100", "CO?pazs"},
    {"mul rbx", TEST_64, "48f7e3", "rax=ffffffffffffffff rbx=ffffffffffffffff", "rax=1 rdx=fffffffffffffffe",
     "CO?pazs"},
    {"imul rbx", TEST_64, "48f7eb", "rax=ffffffffffffffff rbx=2", "rax=fffffffffffffffe rdx=ffffffffffffffff",
     "co?pazs"},
    {"imul eax, [rbx], 3", TEST_64, "6b0303", "rbx=20010 [20010]4=40000000", "rax=c0000000", "CO?pazs"},
    {"div rbx", TEST_64, "48f7f3", "rdx=1 rax=0 rbx=2", "rax=8000000000000000 rdx=0", "?cpazso"},
    {"div bl", TEST_64, "f6f3", "rax=107 rbx=2", "rax=183", "?cpazso"},
    {"idiv ebx", TEST_64, "f7fb", "rax=fffffff9 rdx=ffffffff rbx=2", "rax=fffffffd rdx=ffffffff", "?cpazso"},
    {"idiv rbx", TEST_64, "48f7fb", "rax=8000000000000000 rdx=ffffffffffffffff rbx=1",
     "rax=8000000000000000 rdx=0", "?cpazso"},
    {"adcx rax, rbx", TEST_64, "66480f38f6c3", "CF=1 rax=ffffffffffffffff rbx=0", "rax=0", "C"},
    {"adox eax, ebx", TEST_64, "f30f38f6c3", "OF=0 rax=ffffffff rbx=1", "rax=0", "O"},
    /* decimal */
    {"daa", TEST_32, "27", "AF=0 CF=0 rax=ae", "rax=14", "CPAzs?o"},
    {"das", TEST_32, "2f", "AF=1 CF=0 rax=35", "rax=2f", "cpAzs?o"},
    {"aaa", TEST_32, "37", "AF=0 rax=1a", "rax=100", "CA?pzso"},
    {"aas", TEST_32, "3f", "AF=1 rax=200", "rax=a", "CA?pzso"},
    {"aam", TEST_32, "d40a", "rax=3f", "rax=603", "Pzs?cao"},
    {"aad", TEST_32, "d50a", "rax=603", "rax=3f", "Pzs?cao"},
    /* shifts */
    {"shl byte [rbx], 1", TEST_64, "d023", "rbx=20010 [20010]2=c0", "[20010]2=80", "CpzSo?a"},
    {"shl eax, 32 is nothing", TEST_64, "c1e020", "rax=ffffffff12345678", "rax=12345678", ""},
    {"shl al, 8", TEST_64, "c0e008", "rax=1", "rax=0", "CPZs?ao"},
    {"shl al, 9", TEST_64, "c0e009", "rax=ff", "rax=0", "PZs?aoc"},
    {"shr rax, cl", TEST_64, "48d3e8", "rax=8000000000000000 rcx=3f", "rax=1", "cpzs?ao"},
    {"shr ax, 1", TEST_64, "66d1e8", "rax=8001", "rax=4000", "CPzsO?a"},
    {"sar eax, 1", TEST_64, "d1f8", "rax=80000001", "rax=c0000000", "CPzSo?a"},
    {"sar al, 31", TEST_64, "c0f81f", "rax=80", "rax=ff", "CPzS?ao"},
    {"rol byte [rbx], 1", TEST_64, "d003", "rbx=20010 [20010]1=80", "[20010]1=1", "CO"},
    {"rol al, 8", TEST_64, "c0c008", "rax=81", "rax=81", "C?o"},
    {"ror eax, 4", TEST_64, "c1c804", "rax=8", "rax=80000000", "C?o"},
    {"rcl al, 1", TEST_64, "d0d0", "CF=1 rax=40", "rax=81", "cO"},
    {"rcl al, 9", TEST_64, "c0d009", "CF=1 rax=40", "rax=40", "C?o"},
    {"rcr rax, 1", TEST_64, "48d1d8", "CF=1 rax=1", "rax=8000000000000000", "CO"},
    {"rcr ax, 17", TEST_64, "66c1d811", "CF=1 rax=1", "rax=1", "C?o"},
    {"shld [rbx], eax, 4", TEST_64, "0fa40304", "rax=a0000000 rbx=20010 [20010]4=12345678",
     "[20010]4=2345678a", "Cpzs?ao"},
    {"shrd rax, rbx, 1", TEST_64, "480facd801", "rax=2 rbx=1", "rax=8000000000000001", "cpzSO?a"},
    /* bits */
    {"bt [rbx], eax", TEST_64, "0fa303", "rax=20 rbx=20010 [20014]1=1", "", "C"},
    {"bts [rbx], rax, far behind", TEST_64, "480fab03", "rax=fffffffffffffff0 rbx=20010",
     "[20008]8=1000000000000", "c"},
    {"btr word [rbx], ax, before", TEST_64, "660fb303", "rax=fff0 rbx=20010 [2000e]2=ffff", "[2000e]2=fffe",
     "C"},
    {"btc [rbx], 35", TEST_64, "0fba3b23", "rbx=20010 [20010]8=0", "[20010]8=8", "c"},
    {"bsf eax, [rbx]", TEST_64, "0fbc03", "rbx=20010 [20010]4=80", "rax=7", "z?cpaso"},
    {"bsr rax, rbx of 0", TEST_64, "480fbdc3", "rax=77 rbx=0", "rax=77", "Z?cpaso"},
    {"tzcnt ax, bx of 0", TEST_64, "66f30fbcc3", "rbx=10000", "rax=10", "Cz?paso"},
    {"lzcnt eax, ebx", TEST_64, "f30fbdc3", "rbx=80000000", "rax=0", "cZ?paso"},
    {"popcnt rax, [rbx]", TEST_64, "f3480fb803", "rbx=20010 [20010]8=ff00000000000001", "rax=9", "cpazso"},
    {"crc32 eax, byte [rbx]", TEST_64, "f20f38f003", "rax=ffffffff rbx=20010 [20010]1=61", "rax=3e2fbccf",
     ""},
    {"andn eax, ebx, ecx", TEST_64, "c4e260f2c1", "rbx=f0 rcx=ff", "rax=f", "czso?ap"},
    {"bextr eax, ebx, ecx", TEST_64, "c4e270f7c3", "rbx=12345678 rcx=804", "rax=67", "czo?aps"},
    {"blsi rax, [rbx]", TEST_64, "c4e2f8f31b", "rbx=20010 [20010]8=58", "rax=8", "Czso?ap"},
    {"blsr eax, ebx of 0", TEST_64, "c4e278f3cb", "rbx=0", "rax=0", "CZso?ap"},
    {"bzhi eax, ebx, ecx", TEST_64, "c4e270f5c3", "rbx=ffffffff rcx=7", "rax=7f", "czso?ap"},
    {"pdep eax, ebx, ecx", TEST_64, "c4e263f5c1", "rbx=5 rcx=f0f0", "rax=50", ""},
    {"pext eax, ebx, ecx", TEST_64, "c4e262f5c1", "rbx=1234 rcx=f0f0", "rax=13", ""},
    {"mulx rax, rbx, rcx", TEST_64, "c4e2e3f6c1", "rdx=ffffffffffffffff rcx=2", "rax=1 rbx=fffffffffffffffe",
     ""},
    {"rorx eax, ebx, 4", TEST_64, "c4e37bf0c304", "rbx=1", "rax=10000000", ""},
    {"sarx eax, ebx, ecx", TEST_64, "c4e272f7c3", "rbx=80000000 rcx=1f", "rax=ffffffff", ""},
    /* exchanges */
    {"xadd [rbx], ax", TEST_64, "660fc103", "rax=1 rbx=20010 [20010]4=ffffffff", "rax=ffff [20010]4=ffff0000",
     "CPAZso"},
    {"xadd al, al", TEST_64, "0fc0c0", "rax=3", "rax=6", "cPazso"},
    {"lock cmpxchg [rbx], ecx, equal", TEST_64, "f00fb10b", "rax=5 rbx=20010 rcx=9 [20010]4=5",
     "rax=5 [20010]4=9", "cPaZso"},
    {"cmpxchg [rbx], ecx, not equal", TEST_64, "0fb10b", "rax=ffffffff00000005 rbx=20010 rcx=9 [20010]4=4",
     "rax=4 [20010]4=4", "cpazso"},
    {"lock cmpxchg8b [rbx], equal", TEST_64, "f00fc70e",
     "rsi=20010 rax=1 rdx=2 rbx=3 rcx=4 [20010]8=200000001", "[20010]8=400000003", "Z"},
    {"cmpxchg16b [rsi], equal", TEST_64, "480fc70e",
     "rsi=20010 rax=1 rdx=2 rbx=3 rcx=4 [20010]8=1 [20018]8=2", "[20010]8=3 [20018]8=4", "Z"},
    {"lock cmpxchg16b [rsi], not equal", TEST_64, "f0480fc70e", "rsi=20010 [20010]8=7 [20018]8=8",
     "rax=7 rdx=8", "z"},
    /* selection */
    {"setc [rbx]", TEST_64, "0f9203", "CF=1 rbx=20010", "[20010]1=1", "C"},
    {"cmovc eax, [rbx], false", TEST_64, "0f4203", "CF=0 rax=ffffffff00000001 rbx=20010 [20010]4=5", "rax=1",
     "c"},
    {"cmovnc rax, [rbx], true", TEST_64, "480f4303", "CF=0 rbx=20010 [20010]8=5", "rax=5", "c"},
    /* stack and flow: CODE is 10ff0 */
    {"push [rbx]", TEST_64, "ff33", "rbx=20010 [20010]8=77", "rsp=2fef8 [2fef8]8=77", ""},
    {"push rsp", TEST_64, "54", "", "rsp=2fef8 [2fef8]8=2ff00", ""},
    {"push -1", TEST_64, "6aff", "", "rsp=2fef8 [2fef8]8=ffffffffffffffff", ""},
    {"push ax", TEST_64, "6650", "rax=1234", "rsp=2fefe [2fefe]2=1234", ""},
    {"push es leaves the upper half", TEST_32, "06", "es=20 [2fefc]4=ffffffff", "rsp=2fefc [2fefc]4=ffff0020",
     ""},
    {"push fs", TEST_64, "0fa0", "fs=20 [2fef8]8=ffffffffffffffff", "rsp=2fef8 [2fef8]8=20", ""},
    {"pop [rsp]", TEST_64, "8f0424", "[2ff00]8=5", "rsp=2ff08 [2ff08]8=5", ""},
    {"pop rsp", TEST_64, "5c", "[2ff00]8=5", "rsp=5", ""},
    {"pusha", TEST_16, "60", "rax=1 rcx=2 rdx=3 rbx=4 rbp=5 rsi=6 rdi=7",
     "rsp=fef0 [2fefe]2=1 [2fef6]2=ff00 [2fef0]2=7", ""},
    {"popad", TEST_32, "61", "[2ff00]4=1 [2ff0c]4=99 [2ff1c]4=8", "rdi=1 rsp=2ff20 rax=8", ""},
    {"enter 16, 0", TEST_64, "c8100000", "rbp=12345", "rbp=2fef8 rsp=2fee8 [2fef8]8=12345", ""},
    {"enter 8, 2", TEST_64, "c8080002", "rbp=20100 [200f8]8=abc",
     "rbp=2fef8 rsp=2fee0 [2fef8]8=20100 [2fef0]8=abc [2fee8]8=2fef8", ""},
    {"leave", TEST_64, "c9", "rbp=20100 [20100]8=66", "rbp=66 rsp=20108", ""},
    {"jmp [rbx]", TEST_64, "ff23", "rbx=20010 [20010]8=12345678", "rip=12345678", ""},
    {"call [rbx]", TEST_64, "ff13", "rbx=20010 [20010]8=12345678", "rip=12345678 rsp=2fef8 [2fef8]8=10ff2",
     ""},
    {"call rel in 16 bits", TEST_16, "e80001", "", "rip=10f3 rsp=fefe [2fefe]2=ff3", ""},
    {"ret 16", TEST_64, "c21000", "[2ff00]8=4444", "rip=4444 rsp=2ff18", ""},
    {"jz taken", TEST_64, "7410", "ZF=1", "rip=11002", "Z"},
    {"jz not taken", TEST_64, "7410", "ZF=0", "rip=10ff2", "z"},
    {"loop", TEST_64, "e2fe", "rcx=2", "rcx=1 rip=10ff0", ""},
    {"loop with ecx", TEST_64, "67e2fe", "rcx=ffffffff00000001", "rcx=0 rip=10ff3", ""},
    {"jrcxz", TEST_64, "e310", "rcx=0", "rip=11002", ""},
    {"pushf", TEST_64, "9c", "CF=1 ZF=0 AF=0 PF=0 SF=0 OF=0 RF=0", "rsp=2fef8 [2fef8]8=3", "Czapso"},
    {"popf", TEST_64, "9d", "[2ff00]8=244ed7", "rsp=2ff08 rflags=244ed7", "CPAZSO"},
    {"popf as a user", TEST_64_USER, "9d", "[2ff00]8=3fffff", "rsp=2ff08 rflags=244dd7", "CPAZSO"},
    {"far jmp to 32-bit code", TEST_64, "ff2b", "rbx=20010 [20010]4=12340 [20014]2=18", "cs=18 rip=12340",
     ""},
    {"far jmp", TEST_32, "ea403200003800", "", "cs=38 rip=3240", ""},
    {"far jmp outside of long mode, where L is none", TEST_32, "ea403200000800", "",
     "cs=8 cs.attributes=809b rip=3240", ""},
    {"far call in real mode", TEST_16, "9a34120010", "",
     "cs=1000 rip=1234 rsp=fefc [2fefe]2=1000 [2fefc]2=ff5", ""},
    {"far ret to outer", TEST_32, "cb", "[2ff00]4=1234 [2ff04]4=33 [2ff08]4=25000 [2ff0c]4=23",
     "cs=33 rip=1234 rsp=25000 ss=23 cpl=3 ds=0", ""},
    {"iretq to user", TEST_64, "48cf", "[2ff00]8=1234 [2ff08]8=2b [2ff10]8=202 [2ff18]8=25000 [2ff20]8=23",
     "rip=1234 cs=2b rflags=202 rsp=25000 ss=23 cpl=3", "cpazso"},
    {"iretd", TEST_32, "cf", "[2ff00]4=1234 [2ff04]4=18 [2ff08]4=46", "rip=1234 cs=18 rflags=46 rsp=2ff0c",
     "cPaZso"},
    {"iret in real mode", TEST_16, "cf", "[2ff00]2=1234 [2ff02]2=3000 [2ff04]2=2",
     "rip=1234 cs=3000 cs.base=30000 rsp=ff06", "cpazso"},
    /* strings */
    {"movsb", TEST_64, "a4", "rsi=20010 rdi=20020 [20010]1=5", "rsi=20011 rdi=20021 [20020]1=5", ""},
    {"rep movsd, backwards", TEST_64, "f3a5", "DF=1 rcx=2 rsi=20014 rdi=20024 [20010]8=123456789abcdef",
     "rcx=0 rsi=2000c rdi=2001c [20020]8=123456789abcdef", ""},
    {"rep movsb that overlaps", TEST_64, "f3a4", "rcx=7 rsi=20010 rdi=20011 [20010]1=5",
     "rcx=0 rsi=20017 rdi=20018 [20010]8=505050505050505", ""},
    {"rep stosq", TEST_64, "f348ab", "rcx=3 rax=1122334455667788 rdi=20010",
     "rcx=0 rdi=20028 [20010]8=1122334455667788 [20020]8=1122334455667788", ""},
    {"rep stosb, count 0", TEST_64, "f3aa", "rcx=0 rdi=40000", "rcx=0 rdi=40000", ""},
    {"lodsw", TEST_64, "66ad", "rsi=20010 rax=ffffffff [20010]2=1234", "rsi=20012 rax=ffff1234", ""},
    {"repne scasb", TEST_64, "f2ae", "rcx=10 rax=3 rdi=20010 [20010]4=4030201", "rcx=d rdi=20013", "cPaZso"},
    {"repe cmpsb", TEST_64, "f3a6", "rcx=10 rsi=20010 rdi=20020 [20010]4=99020102 [20020]4=1020102",
     "rcx=c rsi=20014 rdi=20024", "cpazSo"},
    {"movsb with 16-bit addresses", TEST_16, "a4", "rsi=12340010 rdi=5678ffff [20010]1=5",
     "rsi=12340011 rdi=56780000 [2ffff]1=5", ""},
    {"rep stosb with ecx", TEST_64, "67f3aa", "rcx=ffffffff00000002 rdi=ffffffff00020010 rax=7",
     "rcx=0 rdi=20012 [20010]2=707", ""},
    {"in al, dx", TEST_64, "ec", "rdx=105", "rax=15", ""},
    {"out 10, al is nothing", TEST_64, "e610", "", "", ""},
    {"in by the bitmap", TEST_64_USER, "ec", "rdx=5 [9066]2=50 [9050]2=ffdf", "rax=ff", ""},
    {"insb", TEST_64, "6c", "rdx=100 rdi=20010", "rdi=20011 [20010]1=10", ""},
    /* flags and the system */
    {"stc", TEST_64, "f9", "", "", "C"},
    {"cmc", TEST_64, "f5", "CF=1", "", "c"},
    {"sgdt [rbx]", TEST_64, "0f0103", "rbx=20010", "[20010]2=7f [20012]8=7000", ""},
    {"lmsw ax", TEST_64, "0f01f0", "rax=8", "cr0=80010019", ""},
    {"smsw eax", TEST_64, "0f01e0", "", "rax=80010011", ""},
    {"mov rax, cr0", TEST_64, "0f20c0", "", "rax=80010011", ""},
    {"mov cr2, rax", TEST_64, "0f22d0", "rax=123456789abc", "cr2=123456789abc", ""},
    {"rdtsc", TEST_64, "0f31", "", "rax=55667788 rdx=11223344", ""},
    {"lar eax, cx", TEST_64, "0f02c1", "rcx=10", "rax=cf9300", "Z"},
    {"lsl eax, cx", TEST_64, "0f03c1", "rcx=10", "rax=ffffffff", "Z"},
    {"verw cx, code", TEST_64, "0f00e9", "rcx=8", "", "z"},
    {"mov ds, ax", TEST_32, "8ed8", "rax=60", "ds=60", ""},
    {"mov ds, null", TEST_32, "8ed8", "rax=0", "ds=0 ds.limit=0", ""},
    {"bound, inside", TEST_32, "6203", "rax=5 rbx=20010 [20010]4=fffffff0 [20014]4=5", "", ""},
    {"arpl [ebx], ax", TEST_32, "6303", "rax=3 rbx=20010 [20010]2=10", "[20010]2=13", "Z"},
    {"tpause", TEST_64_USER, "660faef3", "rbx=1", "", "cpazso"},
    {"umwait", TEST_64, "f20faef3", "rbx=0", "", "cpazso"},
    {"umonitor", TEST_64_USER, "f30faef3", "rbx=20010 rcx=1", "", ""},
    {"monitorx as a user", TEST_64_USER, "0f01fa", "rax=20010", "", ""},
    {"movrs eax, [rbx]", TEST_64, "0f388b03", "rax=ffffffffffffffff rbx=20010 [20010]4=76543210",
     "rax=76543210", ""},
    {"ptwrite [rbx]", TEST_64, "f30fae23", "rbx=20010", "", ""},
    {"lkgs", TEST_64, "f20f00f3", "rbx=10 gs.base=1234", "gs=10 gs.base=1234 gs.limit=ffffffff", ""},
    {"wrmsrns", TEST_64, "0f01c6", "rcx=c0000101 rax=1234", "gs.base=1234", ""},
    {"wrmsrns by an immediate", TEST_64, "c4e77af6c3010100c0", "rbx=123456789", "gs.base=123456789", ""},
    {"rdmsr by an immediate", TEST_64, "c4e77bf6c3010100c0", "gs.base=123456789", "rbx=123456789", ""},
};

static unsigned from_hex(const char *text, uint8_t *bytes)
{
    unsigned len = 0, byte;
    for (; sscanf(text, "%2x", &byte) == 1; text += 2)
        bytes[len++] = (uint8_t)byte;
    return len;
}

static uint64_t flag_of_letter(char letter)
{
    switch (letter | 0x20) {
    case 'c':
        return FLAG_CF;
    case 'p':
        return FLAG_PF;
    case 'a':
        return FLAG_AF;
    case 'z':
        return FLAG_ZF;
    case 's':
        return FLAG_SF;
    default:
        return FLAG_OF;
    }
}

/* What the flags must be in the end, and which are compared. */
static uint64_t expected_flags(const char *letters, uint64_t flags, uint64_t *mask)
{
    bool is_undefined = false;
    *mask = ~0ull;
    for (; *letters; letters++) {
        if (*letters == '?')
            is_undefined = true;
        else if (is_undefined)
            *mask &= ~flag_of_letter(*letters);
        else if (*letters & 0x20)
            flags &= ~flag_of_letter(*letters);
        else
            flags |= flag_of_letter(*letters);
    }
    return flags;
}

static bool names_word(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at && at[strlen(word)] == '=' && (at == text || at[-1] == ' ');
}

/* Registers that the row does not name keep their value. */
static void expect_untouched(const struct row *row, const struct cpu_state *before)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"};
    for (unsigned i = 0; i < 8; i++)
        ck_assert_msg(names_word(row->after, names[i]) || test_cpu.gpr[i] == before->gpr[i],
                      "%s: %s has changed to %llx", row->name, names[i], (unsigned long long)test_cpu.gpr[i]);
    for (unsigned i = 8; i < 16; i++)
        ck_assert_msg(test_cpu.gpr[i] == before->gpr[i], "%s: r%u has changed", row->name, i);
}

/* By itself; with what was decoded before remembered; in a run, which keeps translations too; the short way
 * through a run, where there is one. */
enum way { ALONE, REMEMBERED, IN_A_RUN, QUICKLY };

static struct step_run *step_run;
static const uint8_t never;
static unsigned quick_count;

/* So many at most, without a limit to those behind an access. */
static unsigned run_quick(struct step_run *run, unsigned limit, const uint8_t *stop)
{
    struct step_budget budget = {.left = limit, .window_left = limit, .window = limit, .stop = stop};
    return step_run_quick(run, &budget);
}

/* False: a run leaves this instruction to KVM. */
static bool step_in_way(enum way way, const uint8_t *code, unsigned len, enum step_result *result)
{
    if (!step_run)
        ck_assert_int_eq(step_run_create(&step_run, NULL), 0);
    step_run_forget(step_run); /* the memory and the devices of the row before */
    test_machine.run = way == REMEMBERED ? step_run : NULL;
    if (way < IN_A_RUN) {
        *result = test_step(code, len);
        return true;
    }
    ck_assert_int_eq(guest_mem_load(test_memory, CODE, code, len), 0);
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    bool is_done = way == QUICKLY && run_quick(step_run, 1, &never);
    quick_count += is_done;
    *result = is_done ? STEP_DONE : step_run_insn(step_run);
    return *result != STEP_UNSUPPORTED;
}

static unsigned run_count;

static void run_row(const struct row *row, uint64_t flags, enum way way)
{
    uint8_t code[16];
    unsigned len = from_hex(row->code, code);
    test_set_up(row->mode);
    for (unsigned i = 8; i < 16; i++)
        test_cpu.gpr[i] = 0x1111111111111111ull * i;
    test_cpu.rflags |= flags;
    test_apply(row->before);
    struct cpu_state before = test_cpu;
    uint64_t mask, wanted = expected_flags(row->flags, test_cpu.rflags, &mask);
    if (names_word(row->after, "rflags"))
        mask = 0;
    enum step_result result;
    if (!step_in_way(way, code, len, &result))
        return;
    run_count++;
    ck_assert_msg(result == STEP_DONE, "%s: result %d, vector %u, %s", row->name, result,
                  test_outcome.event.vector, test_outcome.reason ? test_outcome.reason : "");
    test_expect(row->name, row->after);
    ck_assert_msg(((test_cpu.rflags ^ wanted) & mask) == 0, "%s: rflags %llx, not %llx", row->name,
                  (unsigned long long)test_cpu.rflags, (unsigned long long)wanted);
    if (!names_word(row->after, "rip"))
        ck_assert_msg(test_cpu.rip == before.rip + len, "%s: rip %llx", row->name,
                      (unsigned long long)test_cpu.rip);
    expect_untouched(row, &before);
}

START_TEST(instructions_do_what_they_should)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (enum way way = ALONE; way <= QUICKLY; way++) {
            run_row(&rows[i], 0, way);
            run_row(&rows[i], FLAGS_STATUS, way);
        }
    }
    /* a run takes most of them */
    ck_assert_uint_gt(run_count, 7 * ARRAY_COUNT(rows));
    ck_assert_uint_gt(quick_count, 40);
}
END_TEST

struct fault_row {
    const char *name;
    enum test_mode mode;
    const char *code, *before;
    unsigned vector;
    int error; /* -1: none */
    uint64_t cr2;
};

static const struct fault_row faults[] = {
    {"read of an absent page", TEST_64, "8b03", "rbx=40000", VECTOR_PF, 0, 0x40000},
    {"write of an absent page", TEST_64, "8903", "rbx=40010", VECTOR_PF, 2, 0x40010},
    {"write across into an absent page", TEST_64, "488903", "rbx=3fffa", VECTOR_PF, 2, 0x40000},
    {"write to a read-only page", TEST_64, "8903", "rbx=60000", VECTOR_PF, 3, 0x60000},
    {"user write to a supervisor page", TEST_64_USER, "8903", "rbx=52000", VECTOR_PF, 7, 0x52000},
    {"not canonical", TEST_64, "8b03", "rbx=800000000000", VECTOR_GP, 0, 0},
    {"not canonical through the stack", TEST_64, "8b4500", "rbp=800000000000", VECTOR_SS, 0, 0},
    {"last byte not canonical", TEST_64, "8b03", "rbx=7ffffffffffd", VECTOR_GP, 0, 0},
    {"beyond the limit", TEST_32, "8b03", "ds.limit=1000 rbx=ffe", VECTOR_GP, 0, 0},
    {"stack beyond the limit", TEST_32, "50", "ss.limit=1000", VECTOR_SS, 0, 0},
    {"null segment", TEST_32, "268b03", "rbx=20000 es=0 es.limit=0", VECTOR_GP, 0, 0},
    {"write to code", TEST_32, "2e8903", "rbx=20000", VECTOR_GP, 0, 0},
    {"word at the end of a segment", TEST_16, "8b07", "rbx=ffff", VECTOR_GP, 0, 0},
    {"division by 0", TEST_64, "f7f3", "rbx=0 rax=1", VECTOR_DE, -1, 0},
    {"quotient too large", TEST_64, "f7f3", "rbx=1 rdx=1", VECTOR_DE, -1, 0},
    {"lowest by -1", TEST_64, "48f7fb", "rax=8000000000000000 rdx=ffffffffffffffff rbx=ffffffffffffffff",
     VECTOR_DE, -1, 0},
    {"aam 0", TEST_32, "d400", "rax=5", VECTOR_DE, -1, 0},
    {"ud2", TEST_64, "0f0b", "", VECTOR_UD, -1, 0},
    {"vmptrld without CR4.VMXE", TEST_64_USER, "0fc733", "rbx=20000", VECTOR_UD, -1, 0},
    {"vmrun without EFER.SVME", TEST_64, "0f01d8", "", VECTOR_UD, -1, 0},
    /* which CPUID hides from every guest */
    {"enqcmd", TEST_64, "f20f38f818", "rax=20000 rbx=20040", VECTOR_UD, -1, 0},
    {"enqcmds as a user", TEST_64_USER, "f30f38f818", "rax=20000 rbx=20040", VECTOR_UD, -1, 0},
    {"aesdec128kl", TEST_64, "f30f38dd03", "rbx=20000", VECTOR_UD, -1, 0},
    {"aesencwide128kl", TEST_64, "f30f38d803", "rbx=20000", VECTOR_UD, -1, 0},
    {"encodekey128", TEST_64, "f30f38fac3", "", VECTOR_UD, -1, 0},
    {"loadiwkey", TEST_64, "f30f38dcc1", "", VECTOR_UD, -1, 0},
    {"uiret", TEST_64, "f30f01ec", "", VECTOR_UD, -1, 0},
    {"senduipi", TEST_64, "f30fc7f3", "", VECTOR_UD, -1, 0},
    {"eretu", TEST_64, "f30f01ca", "", VECTOR_UD, -1, 0},
    {"rdmsrlist", TEST_64, "f20f01c6", "", VECTOR_UD, -1, 0},
    {"urdmsr", TEST_64, "f20f38f8c3", "", VECTOR_UD, -1, 0},
    {"pconfig", TEST_64, "0f01c5", "", VECTOR_UD, -1, 0},
    {"hreset", TEST_64, "f30f3af0c001", "", VECTOR_UD, -1, 0},
    {"rdpru", TEST_64, "0f01fd", "", VECTOR_UD, -1, 0},
    {"mcommit", TEST_64, "f30f01fa", "", VECTOR_UD, -1, 0},
    {"encls", TEST_64, "0f01cf", "", VECTOR_UD, -1, 0},
    {"getsec", TEST_64, "0f37", "", VECTOR_UD, -1, 0},
    {"seamcall", TEST_64, "660f01cf", "", VECTOR_UD, -1, 0},
    {"pvalidate", TEST_64, "f20f01ff", "", VECTOR_UD, -1, 0},
    {"incsspq", TEST_64, "f3480faeeb", "", VECTOR_UD, -1, 0},
    {"rsm", TEST_64, "0faa", "", VECTOR_UD, -1, 0},
    {"llwpcb", TEST_64, "8fe97812c3", "", VECTOR_UD, -1, 0},
    {"monitor as a user", TEST_64_USER, "0f01c8", "rax=20010", VECTOR_UD, -1, 0},
    {"tpause, reserved", TEST_64, "660faef3", "rbx=2", VECTOR_GP, 0, 0},
    {"umwait without the TSC", TEST_64_USER, "f20faef3", "rbx=0 cr4=24", VECTOR_GP, 0, 0},
    {"umonitor of nothing", TEST_64, "f30faef3", "rbx=40000", VECTOR_PF, 0, 0x40000},
    {"lkgs, absent", TEST_64, "f20f00f3", "rbx=50", VECTOR_NP, 0x50, 0},
    {"no such instruction", TEST_64, "06", "", VECTOR_UD, -1, 0},
    {"cmpxchg16b unaligned", TEST_64, "480fc70e", "rsi=20008", VECTOR_GP, 0, 0},
    {"alignment check", TEST_64_USER, "8b03", "cr0=80050011 AC=1 rbx=20001", VECTOR_AC, 0, 0},
    {"privileged", TEST_64_USER, "f4", "", VECTOR_GP, 0, 0},
    {"cli as a user", TEST_64_USER, "fa", "", VECTOR_GP, 0, 0},
    {"in as a user", TEST_64_USER, "ec", "rdx=105 [9066]2=ffff", VECTOR_GP, 0, 0},
    {"bound, outside", TEST_32, "6203", "rax=6 rbx=20010 [20010]4=fffffff0 [20014]4=5", VECTOR_BR, -1, 0},
    {"jump to nowhere", TEST_64, "ffe3", "rbx=800000000000", VECTOR_GP, 0, 0},
    {"mov ss, code", TEST_32, "8ed0", "rax=18", VECTOR_GP, 0x18, 0},
    {"mov ss, null", TEST_32, "8ed0", "rax=0", VECTOR_GP, 0, 0},
    {"mov ds, absent", TEST_32, "8ed8", "rax=50", VECTOR_NP, 0x50, 0},
    {"mov ds, execute-only", TEST_32, "8ed8", "rax=68", VECTOR_GP, 0x68, 0},
    {"mov ds, beyond the table", TEST_32, "8ed8", "rax=83", VECTOR_GP, 0x80, 0},
    {"far jmp to data", TEST_32, "ea000000001000", "", VECTOR_GP, 0x10, 0},
    {"iret to more privileged", TEST_64_USER, "48cf",
     "[2ff00]8=1234 [2ff08]8=8 [2ff10]8=2 [2ff18]8=25000 [2ff20]8=10", VECTOR_GP, 8, 0},
    {"cr0: paging without protection", TEST_32, "0f22c0", "rax=80000000", VECTOR_GP, 0, 0},
    {"cr4: no PAE in long mode", TEST_64, "0f22e0", "rax=0", VECTOR_GP, 0, 0},
    {"cr4: VMXE without VMX", TEST_64, "0f22e0", "rax=2020", VECTOR_GP, 0, 0},
    {"cr4: OSXSAVE without XSAVE", TEST_64, "0f22e0", "rax=40020", VECTOR_GP, 0, 0},
    {"efer: SVME without SVM", TEST_64, "0f30", "rcx=c0000080 rax=1d01", VECTOR_GP, 0, 0},
    {"clflush of an absent page", TEST_64, "0fae3b", "rbx=40000", VECTOR_PF, 0, 0x40000},
    {"movs to an absent page", TEST_64, "a4", "rsi=50000 rdi=40000", VECTOR_PF, 2, 0x40000},
    {"cmps: the second side absent", TEST_64, "a6", "rsi=50000 rdi=40000", VECTOR_PF, 0, 0x40000},
    {"push [device] on an absent stack", TEST_64, "ff33", "rbx=50000 rsp=40008", VECTOR_PF, 2, 0x40000},
    {"call [device], stack absent", TEST_64, "ff13", "rbx=50000 rsp=40008", VECTOR_PF, 2, 0x40000},
    {"pop to an absent page", TEST_64, "8f03", "rbx=40000 rsp=50000", VECTOR_PF, 2, 0x40000},
    {"insb to an absent page", TEST_64, "6c", "rdx=100 rdi=40000", VECTOR_PF, 2, 0x40000},
    {"movdir64b: source absent", TEST_64, "660f38f803", "rax=50000 rbx=40000", VECTOR_PF, 0, 0x40000},
    {"movdir64b: unaligned", TEST_64, "660f38f803", "rax=50020 rbx=50000", VECTOR_GP, 0, 0},
    {"add [device across an absent page]", TEST_64, "0103", "rbx=3fffe", VECTOR_PF, 2, 0x40000},
    {"fs base not canonical", TEST_64, "f3480faed0", "cr4=10020 rax=800000000000", VECTOR_GP, 0, 0},
    {"fs base without CR4", TEST_64, "f3480faed0", "", VECTOR_UD, -1, 0},
};

static void run_fault(const struct fault_row *row, enum way way)
{
    uint8_t code[16];
    unsigned len = from_hex(row->code, code);
    test_set_up(row->mode);
    test_apply(row->before);
    if (strstr(row->before, "es=0 "))
        test_cpu.segments[CPU_ES].attributes = 0;
    struct cpu_state before = test_cpu;
    enum step_result result;
    if (!step_in_way(way, code, len, &result))
        return;
    ck_assert_msg(result == STEP_EXCEPTION, "%s: result %d %s", row->name, result,
                  test_outcome.reason ? test_outcome.reason : "");
    ck_assert_msg(test_outcome.event.vector == row->vector, "%s: vector %u", row->name,
                  test_outcome.event.vector);
    ck_assert_msg(test_outcome.event.has_error == (row->error >= 0), "%s: error code?", row->name);
    if (row->error >= 0)
        ck_assert_msg(test_outcome.event.error_code == (uint32_t)row->error, "%s: error code %x", row->name,
                      test_outcome.event.error_code);
    if (row->vector == VECTOR_PF)
        ck_assert_msg(test_outcome.event.cr2 == row->cr2, "%s: cr2", row->name);
    ck_assert_msg(!memcmp(&before, &test_cpu, sizeof(before)), "%s: the CPU has changed", row->name);
    ck_assert_msg(!*test_seen, "%s: a device was touched: %s", row->name, test_seen);
}

START_TEST(faults_leave_everything_as_it_was)
{
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
        for (enum way way = ALONE; way <= QUICKLY; way++)
            run_fault(&faults[i], way);
}
END_TEST

static const struct {
    const char *name, *code, *before, *after, *seen;
} devices[] = {
    {"mov eax, [a]", "8b03", "rbx=50004", "rax=17161514", "a:r4@4 "},
    {"mov rax, [a]", "488b03", "rbx=50008", "rax=1f1e1d1c1b1a1918", "a:r8@8 "},
    {"mov [a], ax", "668903", "rbx=50004 rax=1234", "", "a:w2@4=1234 "},
    {"add [a], eax", "0103", "rbx=50000 rax=1", "", "a:r4@0 a:w4@0=13121111 "},
    {"lock xadd [a], eax", "f00fc103", "rbx=50000 rax=1", "rax=13121110", "a:r4@0 a:w4@0=13121111 "},
    {"xchg [a], al", "8603", "rbx=50003 rax=99", "rax=13", "a:r1@3 a:w1@3=99 "},
    {"mov [RAM|a], rax", "488903", "rbx=4fffc rax=1122334455667788", "[4fffc]4=55667788", "a:w4@0=11223344 "},
    {"mov eax, [RAM|a]", "8b03", "rbx=4fffe [4fffe]2=aabb", "rax=1110aabb", "a:r2@0 "},
    {"mov eax, [a|b]", "8b03", "rbx=50ffe", "rax=11100f0e", "a:r2@ffe b:r2@0 "},
    {"mov [b|RAM], eax", "8903", "rbx=51fff rax=11223344", "[52000]2=2233", "b:w1@fff=44 "},
    {"push [a]", "ff33", "rbx=50000", "rsp=2fef8 [2fef8]8=1716151413121110", "a:r8@0 "},
    {"pop [a]", "8f03", "rbx=50000 [2ff00]8=77", "rsp=2ff08", "a:w8@0=77 "},
    {"cmovc eax, [a], not taken", "0f4203", "CF=0 rbx=50000 rax=5", "rax=5", "a:r4@0 "},
    {"lea touches nothing", "8d03", "rbx=50000", "rax=50000", ""},
    {"nop [a] touches nothing", "0f1f03", "rbx=50000", "", ""},
    {"clflush [a] touches nothing", "0fae3b", "rbx=50000", "", ""},
    {"prefetch [a] touches nothing", "0f180b", "rbx=50000", "", ""},
    {"movsd from a to RAM", "a5", "rsi=50000 rdi=20010", "rsi=50004 [20010]4=13121110", "a:r4@0 "},
    {"rep movsw from a to b", "66f3a5", "rcx=2 rsi=50000 rdi=51000", "rcx=0",
     "a:r2@0 b:w2@0=1110 a:r2@2 b:w2@2=1312 "},
    {"rep movsb to a, backwards", "f3a4", "DF=1 rcx=2 rsi=20001 rdi=50001 [20000]2=201", "rcx=0 rdi=4ffff",
     "a:w1@1=2 a:w1@0=1 "},
    {"rep stosd over an edge", "f3ab", "rcx=3 rax=5 rdi=4fffa", "rcx=0 rdi=50006 [4fffa]4=5 [4fffe]2=5",
     "a:w2@0=0 a:w4@2=5 "},
    {"repe cmpsb with a", "f3a6", "rcx=5 rsi=50000 rdi=20010 [20010]4=121110", "rcx=1 rsi=50004",
     "a:r1@0 a:r1@1 a:r1@2 a:r1@3 "},
    {"repne scasb of a", "f2ae", "rcx=9 rax=12 rdi=50000", "rcx=6", "a:r1@0 a:r1@1 a:r1@2 "},
    {"insb into a", "6c", "rdx=103 rdi=50007", "rdi=50008", "p:r1@3 a:w1@7=13 "},
    {"rep outsb from a", "f36e", "rdx=103 rcx=2 rsi=50000", "rcx=0", "a:r1@0 p:w1@3=10 a:r1@1 p:w1@3=11 "},
    {"bts [a], eax", "0fab03", "rbx=50000 rax=21", "", "a:r4@4 a:w4@4=17161516 "},
    {"lock cmpxchg8b [a]", "f00fc70e", "rsi=50000", "rax=13121110 rdx=17161514",
     "a:r8@0 a:w8@0=1716151413121110 "},
    {"cmpxchg16b [a], equal", "480fc70e", "rsi=50000 rax=1716151413121110 rdx=1f1e1d1c1b1a1918 rbx=1 rcx=2",
     "ZF=1", "a:r8@0 a:r8@8 a:w8@0=1 a:w8@8=2 "},
    {"movdir64b to a", "660f38f803", "rax=50000 rbx=20000 [20000]8=1 [20038]8=2", "",
     "a:w8@0=1 a:w8@8=0 a:w8@10=0 a:w8@18=0 a:w8@20=0 a:w8@28=0 a:w8@30=0 a:w8@38=2 "},
    {"write to an unclaimed port", "e680", "", "", ""},
};

START_TEST(devices_see_each_access_once)
{
    for (size_t i = 0; i < ARRAY_COUNT(devices); i++) {
        uint8_t code[16];
        unsigned len = from_hex(devices[i].code, code);
        for (enum way way = ALONE; way <= QUICKLY; way++) {
            enum step_result result;
            test_set_up(TEST_64);
            test_apply(devices[i].before);
            ck_assert_msg(step_in_way(way, code, len, &result), "%s: not in a run", devices[i].name);
            ck_assert_msg(result == STEP_DONE, "%s: result %d, vector %u", devices[i].name, result,
                          test_outcome.event.vector);
            test_expect(devices[i].name, devices[i].after);
            ck_assert_msg(!strcmp(test_seen, devices[i].seen), "%s: %s", devices[i].name, test_seen);
        }
    }
}
END_TEST

START_TEST(a_long_rep_comes_in_parts)
{
    test_set_up(TEST_64);
    test_machine.rep_limit = 100;
    test_apply("rcx=fa rdi=20010 rax=7");
    ck_assert_int_eq(test_step("\xf3\xaa", 2), STEP_AGAIN);
    test_expect("first part", "rcx=96 rdi=20074 rip=10ff0");
    ck_assert_uint_eq(test_outcome.elements, 100);
    ck_assert_int_eq(test_step("\xf3\xaa", 2), STEP_AGAIN);
    ck_assert_int_eq(test_step("\xf3\xaa", 2), STEP_DONE);
    test_expect("last part", "rcx=0 rdi=2010a rip=10ff2 [20109]2=7");
    /* up to a fault: what is done is done, and the fault is the next call's */
    test_set_up(TEST_64);
    test_apply("rcx=30 rdi=3fff0");
    ck_assert_int_eq(test_step("\xf3\xaa", 2), STEP_AGAIN);
    test_expect("before the fault", "rcx=20 rdi=40000 rip=10ff0");
    ck_assert_int_eq(test_step("\xf3\xaa", 2), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.cr2, 0x40000);
    test_expect("at the fault", "rcx=20 rdi=40000 rip=10ff0");
}
END_TEST

START_TEST(a_rep_into_a_device_is_one_step)
{
    test_set_up(TEST_64);
    test_apply("rcx=1000 rsi=20000 rdi=50000");
    ck_assert_int_eq(test_step("\xf3\xa4", 2), STEP_DONE);
    ck_assert_uint_eq(test_outcome.elements, 4096);
    ck_assert_uint_eq(test_outcome.device_writes, 4096);
    test_expect("after", "rcx=0 rsi=21000 rdi=51000");
}
END_TEST

START_TEST(single_stepping_and_breakpoints)
{
    test_set_up(TEST_64);
    test_apply("TF=1");
    ck_assert_int_eq(test_step("\x90", 1), STEP_EXCEPTION);
    ck_assert(test_outcome.event.is_trap && test_outcome.event.vector == VECTOR_DB);
    ck_assert_uint_eq(test_outcome.event.dr6, DR6_BS);
    test_expect("behind the instruction", "rip=10ff1");
    /* a REP traps after each element */
    test_set_up(TEST_64);
    test_apply("TF=1 rcx=3 rdi=20000");
    ck_assert_int_eq(test_step("\xf3\xaa", 2), STEP_EXCEPTION);
    test_expect("one element", "rip=10ff0 rcx=2");
    /* MOV SS holds the trap back, and interrupts; STI interrupts alone */
    test_set_up(TEST_32);
    test_apply("TF=1 rax=10");
    ck_assert_int_eq(test_step("\x8e\xd0", 2), STEP_DONE);
    ck_assert_uint_eq(test_cpu.interrupt_shadow, SHADOW_MOV_SS);
    test_cpu.rip = CODE;
    ck_assert_int_eq(test_step("\x90", 1), STEP_EXCEPTION);
    ck_assert_uint_eq(test_cpu.interrupt_shadow, 0);
    test_set_up(TEST_64);
    ck_assert_int_eq(test_step("\xfb", 1), STEP_DONE);
    ck_assert_uint_eq(test_cpu.interrupt_shadow, SHADOW_STI);
    test_cpu.rip = CODE;
    ck_assert_int_eq(test_step("\xfb", 1), STEP_DONE);
    ck_assert_uint_eq(test_cpu.interrupt_shadow, 0);
    /* data: a write of 4 bytes at dr0 + 2 */
    test_set_up(TEST_64);
    test_apply("dr0=20010 dr7=d0402 rbx=20012");
    ck_assert_int_eq(test_step("\x66\x89\x03", 3), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.dr6, 1);
    ck_assert(test_outcome.event.is_trap);
    test_expect("behind", "rip=10ff3");
    /* code: a fault, unless RF */
    test_set_up(TEST_64);
    test_apply("dr0=10ff0 dr7=402");
    ck_assert_int_eq(test_step("\x90", 1), STEP_EXCEPTION);
    ck_assert(!test_outcome.event.is_trap);
    test_expect("before", "rip=10ff0");
    test_apply("RF=1");
    ck_assert_int_eq(test_step("\x90", 1), STEP_DONE);
    test_expect("RF is gone", "rip=10ff1 RF=0");
}
END_TEST

START_TEST(cpuid_follows_control_registers)
{
    static const struct {
        const char *before, *after;
        uint64_t xcr0;
    } leaves[] = {
        {"rax=1 cr4=20", "rax=0 rbx=0 rcx=0 rdx=0", 3},
        {"rax=1 cr4=40020", "rax=0 rbx=0 rcx=8000000 rdx=0", 3},
        {"rax=7 rcx=0 cr4=400020", "rax=0 rbx=8 rcx=10 rdx=0", 3},
        {"rax=d rcx=0", "rax=7 rbx=240 rcx=0 rdx=0", 3},
        {"rax=d rcx=0", "rax=7 rbx=340 rcx=0 rdx=0", 7},
        {"rax=d rcx=1", "rax=2 rbx=340 rcx=0 rdx=0", 7},
        {"rax=d rcx=2", "rax=100 rbx=240 rcx=0 rdx=0", 7},
    };
    for (size_t i = 0; i < ARRAY_COUNT(leaves); i++) {
        test_set_up(TEST_64);
        test_apply(leaves[i].before);
        test_cpu.vector.xcr0 = leaves[i].xcr0;
        ck_assert_int_eq(test_step("\x0f\xa2", 2), STEP_DONE);
        test_expect(leaves[i].before, leaves[i].after);
        test_tear_down();
    }
}
END_TEST

START_TEST(the_fetch_crosses_pages_and_faults)
{
    uint8_t code[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8};
    test_set_up(TEST_64);
    test_cpu.rip = 0x10ffd;
    memcpy(test_ram(0x10ffd), code, sizeof(code));
    ck_assert_int_eq(step_insn(&test_machine, &test_cpu, NULL, 0, &test_outcome), STEP_DONE);
    test_expect("across", "rax=807060504030201 rip=11007");
    ck_assert_uint_eq(test_outcome.byte_count, 10);
    ck_assert_mem_eq(test_outcome.bytes, code, 10);
    /* the last bytes of a page are enough for a short instruction, not for a long one */
    test_cpu.rip = 0x3ffff;
    *(uint8_t *)test_ram(0x3ffff) = 0x90;
    ck_assert_int_eq(step_insn(&test_machine, &test_cpu, NULL, 0, &test_outcome), STEP_DONE);
    test_cpu.rip = 0x3ffff;
    *(uint8_t *)test_ram(0x3ffff) = 0x48;
    ck_assert_int_eq(step_insn(&test_machine, &test_cpu, NULL, 0, &test_outcome), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.cr2, 0x40000);
    ck_assert_uint_eq(test_outcome.event.error_code, PF_FETCH);
    /* a hint replaces the fetch, and is continued */
    test_cpu.rip = 0x10ffd;
    ck_assert_int_eq(step_insn(&test_machine, &test_cpu, code, 4, &test_outcome), STEP_DONE);
    test_expect("hinted", "rip=11007");
    /* sixteen prefixes */
    test_set_up(TEST_64);
    ck_assert_int_eq(test_step("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", 16),
                     STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.vector, VECTOR_GP);
}
END_TEST

/* A loop of stores with its counter, and code that is changed under it. */
START_TEST(a_run_goes_on_until_it_must_not)
{
    enum step_result result;
    unsigned steps = 0;
    test_set_up(TEST_64);
    test_apply("rcx=3 rbx=50000 rax=7");
    /* mov [rbx], eax; add rbx, 4; dec ecx; jnz -12; cli */
    static const char code[] = "\x89\x03\x48\x83\xc3\x04\xff\xc9\x75\xf6\xfa";
    memcpy(test_ram(CODE), code, sizeof(code) - 1);
    ck_assert_int_eq(step_run_create(&step_run, NULL), 0);
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    while ((result = step_run_insn(step_run)) == STEP_DONE)
        steps++;
    ck_assert_uint_eq(steps, 12);
    ck_assert_int_eq(result, STEP_UNSUPPORTED);
    ck_assert_str_eq(test_seen, "a:w4@0=7 a:w4@4=7 a:w4@8=7 ");
    test_expect("at the end", "rip=10ffa rcx=0 rbx=5000c IF=0");
    /* add became sub: seen at once */
    test_cpu.rip = CODE + 2;
    memcpy(test_ram(CODE + 2), "\x48\x83\xeb\x04", 4);
    ck_assert_int_eq(step_run_insn(step_run), STEP_DONE);
    test_expect("changed code", "rbx=50008 rip=10ff6");
    /* a page that is mapped elsewhere: a run may not notice, the next one does */
    store_le64((uint8_t *)test_ram(0x4000) + 8 * 0x50, B_GPA | 3);
    test_cpu.rip = CODE;
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_int_eq(step_run_insn(step_run), STEP_DONE);
    ck_assert_ptr_nonnull(strstr(test_seen, "b:w4@8=7"));
    /* SMAP: what STAC allowed, CLAC takes back */
    test_set_up(TEST_64);
    test_apply("rbx=20010 AC=1");
    test_cpu.cr4 |= CR4_SMAP;
    store_le64((uint8_t *)test_ram(0x4000) + 8 * 0x10, 0x10003); /* the code is the supervisor's */
    memcpy(test_ram(CODE), "\x8b\x03\x0f\x01\xca\x8b\x03", 7);
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_int_eq(step_run_insn(step_run), STEP_DONE);
    ck_assert_int_eq(step_run_insn(step_run), STEP_DONE);
    ck_assert_int_eq(step_run_insn(step_run), STEP_EXCEPTION);
    ck_assert_uint_eq(test_outcome.event.error_code, PF_PRESENT);
}
END_TEST

/* The same loop the short way: as far as a budget goes, and to the access at which it is told to stop. */
START_TEST(the_short_way_keeps_to_its_budget)
{
    static const char code[] = "\x89\x03\x48\x83\xc3\x04\xff\xc9\x75\xf6\xfa";
    static const uint8_t now = 1;
    struct step_run *run;
    test_set_up(TEST_64);
    test_apply("rcx=5 rbx=50000 rax=7");
    test_cpu.rip = CODE & ~0xfffull; /* not at its page's end */
    memcpy(test_ram(test_cpu.rip), code, sizeof(code) - 1);
    ck_assert_int_eq(step_run_create(&run, NULL), 0);
    step_run_begin(run, &test_machine, &test_cpu, &test_outcome);
    struct step_budget budget = {.left = 100, .window_left = 2, .window = 2, .stop = &never};
    ck_assert_uint_eq(step_run_quick(run, &budget), 3);
    test_expect("two behind the store", "rip=10008 rcx=4 rbx=50004");
    ck_assert_uint_eq(budget.left, 97);
    ck_assert_uint_eq(budget.window_left, 0);
    ck_assert_uint_eq(budget.accesses, 1);
    ck_assert_uint_eq(test_outcome.device_writes, 1);
    ck_assert_uint_eq(run_quick(run, 3, &never), 3);
    test_expect("at the limit", "rip=10006 rcx=4 rbx=50008");
    ck_assert_uint_eq(run_quick(run, 100, &now), 3);
    test_expect("behind the next store", "rip=10002 rcx=3 rbx=50008");
    /* code that changes is seen at once: add becomes sub */
    memcpy(test_ram((CODE & ~0xfffull) + 2), "\x48\x83\xeb\x04", 4);
    ck_assert_uint_eq(run_quick(run, 100, &never), 11);
    ck_assert_uint_eq(run_quick(run, 100, &never), 0);
    test_expect("at the end", "rip=1000a rcx=0 rbx=4fffc");
    ck_assert_str_eq(test_seen, "a:w4@0=7 a:w4@4=7 a:w4@8=7 a:w4@4=7 a:w4@0=7 ");
    step_run_destroy(run);
}
END_TEST

/* An empty place of what is remembered is not the instruction at 0. */
START_TEST(the_short_way_finds_code_at_address_0)
{
    struct step_run *run;
    test_set_up(TEST_64);
    store_le64((uint8_t *)test_ram(0x4000), 0x10003);
    test_cpu.rip = 0;
    memcpy(test_ram(CODE & ~0xfffull), "\xff\xc0\xfa", 3); /* inc eax; cli */
    ck_assert_int_eq(step_run_create(&run, NULL), 0);
    step_run_begin(run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_uint_eq(run_quick(run, 2, &never), 1);
    ck_assert_uint_eq(test_cpu.rip, 2);
    step_run_destroy(run);
}
END_TEST

/* Nor is the mark of an empty place an instruction's address. */
START_TEST(the_short_way_begins_nowhere_without_an_address)
{
    struct step_run *run;
    test_set_up(TEST_64);
    test_cpu.rip = 1ull << 63;
    ck_assert_int_eq(step_run_create(&run, NULL), 0);
    step_run_begin(run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_uint_eq(run_quick(run, 2, &never), 0);
    ck_assert_uint_eq(test_cpu.rip, 1ull << 63);
    step_run_destroy(run);
}
END_TEST

/* Alignment checks and breakpoints are none of its business. */
START_TEST(the_short_way_is_for_ordinary_cpus)
{
    test_set_up(TEST_64);
    test_apply("rbx=20011 AC=1");
    test_cpu.cpl = 3;
    test_cpu.cr0 |= CR0_AM;
    test_cpu.rip = CODE & ~0xfffull;
    memcpy(test_ram(test_cpu.rip), "\x8b\x03", 2);
    ck_assert_int_eq(step_run_create(&step_run, NULL), 0);
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_uint_eq(run_quick(step_run, 1, &never), 0);
    test_cpu.cr0 &= ~(uint64_t)CR0_AM;
    test_cpu.dr7 = 1;
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_uint_eq(run_quick(step_run, 1, &never), 0);
    test_cpu.dr7 = 0;
    step_run_begin(step_run, &test_machine, &test_cpu, &test_outcome);
    ck_assert_uint_eq(run_quick(step_run, 1, &never), 1);
}
END_TEST

void test_suite(Suite *suite)
{
    test_add(suite, instructions_do_what_they_should);
    test_add(suite, faults_leave_everything_as_it_was);
    test_add(suite, devices_see_each_access_once);
    test_add(suite, a_long_rep_comes_in_parts);
    test_add(suite, a_rep_into_a_device_is_one_step);
    test_add(suite, a_run_goes_on_until_it_must_not);
    test_add(suite, the_short_way_keeps_to_its_budget);
    test_add(suite, the_short_way_finds_code_at_address_0);
    test_add(suite, the_short_way_begins_nowhere_without_an_address);
    test_add(suite, the_short_way_is_for_ordinary_cpus);
    test_add(suite, single_stepping_and_breakpoints);
    test_add(suite, cpuid_follows_control_registers);
    test_add(suite, the_fetch_crosses_pages_and_faults);
}
