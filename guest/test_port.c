/* SPDX-License-Identifier: MIT
 *
 * Port I/O in every width, one by one and as strings. The device is the UART: its scratch register (port 7)
 * keeps any byte, the two before it ignore writes, and the fourth (modem control) reads back.
 */
#include "guest/page.h"
#include "guest/probe.h"
#include "guest/test.h"
#include "guest/trap.h"

#define SCRATCH        (UART + 7)
#define MODEM_CONTROL  (UART + 4)
#define MODEM_STATUS   (UART + 6)
#define MCR_USUAL      0x0bu
#define PORT_UNCLAIMED 0x1230

void test_port_byte(void)
{
    static const uint8_t values[] = {0x00, 0xff, 0xa5, 0x5a, 0x01, 0x80};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        out8(SCRATCH, values[i]);
        CHECK_EQUAL(in8(SCRATCH), values[i]);
    }
    /* The port as an immediate needs one below 0x100: the keyboard controller's status is never all ones. */
    uint8_t status;
    __asm__ volatile("in $0x64, %0" : "=a"(status));
    CHECK_EQUAL(status, in8(0x64));
}

void test_port_word(void)
{
    out16(MODEM_STATUS, 0xc300);
    CHECK_EQUAL(in8(SCRATCH), 0xc3);
    out8(SCRATCH, 0x3c);
    CHECK_EQUAL(in16(MODEM_STATUS) >> 8, 0x3c);
    CHECK_EQUAL(in16(MODEM_STATUS) & 0xff, in8(MODEM_STATUS));
}

void test_port_dword(void)
{
    out32(MODEM_CONTROL, 0x69000000 | MCR_USUAL);
    CHECK_EQUAL(in8(SCRATCH), 0x69);
    out8(SCRATCH, 0x96);
    uint32_t value = in32(MODEM_CONTROL);
    CHECK_EQUAL(value >> 24, 0x96);
    CHECK_EQUAL(value & 0xff, MCR_USUAL);
}

void test_port_unclaimed(void)
{
    out8(PORT_UNCLAIMED, 0);
    out16(PORT_UNCLAIMED, 0);
    out32(PORT_UNCLAIMED, 0);
    CHECK_EQUAL(in8(PORT_UNCLAIMED), 0xff);
    CHECK_EQUAL(in16(PORT_UNCLAIMED), 0xffff);
    CHECK_EQUAL(in32(PORT_UNCLAIMED), 0xffffffff);
    uint64_t rax = 0x1122334455667788;
    __asm__ volatile("inb %w1, %%al" : "+a"(rax) : "d"(PORT_UNCLAIMED));
    CHECK_EQUAL(rax, 0x11223344556677ff);
    __asm__ volatile("inl %w1, %%eax" : "+a"(rax) : "d"(PORT_UNCLAIMED));
    CHECK_EQUAL(rax, 0xffffffff);
}

#define STRING_OUT(letter, port, from, count) \
    __asm__ volatile("rep outs" letter : "+S"(from), "+c"(count) : "d"(port) : "memory")
#define STRING_IN(letter, port, to, count) \
    __asm__ volatile("rep ins" letter : "+D"(to), "+c"(count) : "d"(port) : "memory")

void test_port_outs(void)
{
    static const uint8_t bytes[5] = {1, 2, 3, 4, 0x77};
    static const uint16_t words[3] = {0x1100, 0x2200, 0x3300};
    static const uint32_t dwords[2] = {0x44000000 | MCR_USUAL, 0x55000000 | MCR_USUAL};
    const void *from = bytes;
    uint64_t count = 5;
    STRING_OUT("b", SCRATCH, from, count);
    CHECK_EQUAL(in8(SCRATCH), 0x77);
    CHECK_EQUAL((uint64_t)from, (uint64_t)(bytes + 5));
    CHECK_EQUAL(count, 0);
    from = words;
    count = 3;
    STRING_OUT("w", MODEM_STATUS, from, count);
    CHECK_EQUAL(in8(SCRATCH), 0x33);
    CHECK_EQUAL((uint64_t)from, (uint64_t)(words + 3));
    from = dwords;
    count = 2;
    STRING_OUT("l", MODEM_CONTROL, from, count);
    CHECK_EQUAL(in8(SCRATCH), 0x55);
    CHECK_EQUAL((uint64_t)from, (uint64_t)(dwords + 2));
    from = bytes;
    __asm__ volatile("outsb" : "+S"(from) : "d"(SCRATCH) : "memory");
    CHECK_EQUAL(in8(SCRATCH), 1);
}

void test_port_ins(void)
{
    uint8_t buffer[24];
    void *to = buffer + 1;
    uint64_t count = 5;
    memset(buffer, 0xee, sizeof(buffer));
    out8(SCRATCH, 0x42);
    STRING_IN("b", SCRATCH, to, count);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQUAL(buffer[i], i >= 1 && i <= 5 ? 0x42 : 0xee);
    CHECK_EQUAL((uint64_t)to, (uint64_t)(buffer + 6));
    CHECK_EQUAL(count, 0);
    to = buffer + 8;
    count = 2;
    STRING_IN("w", PORT_UNCLAIMED, to, count);
    CHECK_EQUAL(MEM(uint32_t, buffer + 8), 0xffffffff);
    CHECK_EQUAL(buffer[12], 0xee);
    to = buffer + 12;
    count = 2;
    STRING_IN("l", MODEM_CONTROL, to, count);
    CHECK_EQUAL(buffer[12], MCR_USUAL);
    CHECK_EQUAL(buffer[19], 0x42);
    CHECK_EQUAL(buffer[20], 0xee);
    CHECK_EQUAL((uint64_t)to, (uint64_t)(buffer + 20));
}

void test_port_ins_long(void)
{
    uint8_t *first = page_alloc(), *between = page_alloc(), *second = page_alloc();
    CHECK(first && between && second);
    page_map(TEST_VA, (uint64_t)second, PTE_PRESENT | PTE_WRITE);
    page_map(TEST_VA + PAGE_BYTES, (uint64_t)first, PTE_PRESENT | PTE_WRITE);
    second[PAGE_BYTES - 41] = first[40] = first[PAGE_BYTES - 1] = 0xee;
    between[0] = between[PAGE_BYTES - 1] = 0xdd;
    out8(SCRATCH, 0x24);
    void *to = (void *)(TEST_VA + PAGE_BYTES - 40);
    uint64_t count = 80;
    STRING_IN("b", SCRATCH, to, count);
    CHECK_EQUAL(second[PAGE_BYTES - 41], 0xee);
    for (unsigned i = 0; i < 40; i++) {
        CHECK_EQUAL(second[PAGE_BYTES - 40 + i], 0x24);
        CHECK_EQUAL(first[i], 0x24);
    }
    CHECK_EQUAL(first[40], 0xee);
    CHECK_EQUAL(first[PAGE_BYTES - 1], 0xee);
    CHECK_EQUAL(between[0] & between[PAGE_BYTES - 1], 0xdd);
    CHECK_EQUAL((uint64_t)to, TEST_VA + PAGE_BYTES + 40);
    page_map(TEST_VA, 0, 0);
    page_map(TEST_VA + PAGE_BYTES, 0, 0);
    page_free(first);
    page_free(between);
    page_free(second);
}

void test_port_backward(void)
{
    uint8_t buffer[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    const uint8_t *from = buffer + 5;
    uint64_t count = 4;
    __asm__ volatile("std; rep outsb; cld" : "+S"(from), "+c"(count) : "d"(SCRATCH) : "memory");
    CHECK_EQUAL(in8(SCRATCH), 7);
    CHECK_EQUAL((uint64_t)from, (uint64_t)(buffer + 1));
    uint8_t *to = buffer + 6;
    count = 2;
    __asm__ volatile("std; rep insb; cld" : "+D"(to), "+c"(count) : "d"(SCRATCH) : "memory");
    CHECK_EQUAL(buffer[4], 5);
    CHECK_EQUAL(buffer[5], 7);
    CHECK_EQUAL(buffer[6], 7);
    CHECK_EQUAL(buffer[7], 2);
    CHECK_EQUAL((uint64_t)to, (uint64_t)(buffer + 4));
}

/* The port is the one that ends the run, and the address is not mapped. */
void test_port_zero(void)
{
    const void *from = (const void *)TEST_VA;
    void *to = (void *)TEST_VA;
    uint64_t count = 0;
    STRING_OUT("b", 0xf4, from, count);
    STRING_IN("b", 0xf4, to, count);
    CHECK_EQUAL((uint64_t)from, TEST_VA);
    CHECK_EQUAL((uint64_t)to, TEST_VA);
}

void test_port_ins_fault(void)
{
    uint8_t *page = page_alloc();
    CHECK(page != NULL);
    page_map(TEST_VA, (uint64_t)page, PTE_PRESENT | PTE_WRITE);
    page_map(TEST_VA + PAGE_BYTES, 0, 0);
    page[PAGE_BYTES - 1] = 0;
    out8(SCRATCH, 0x18);
    struct trap trap = trap_catch(probe_insb_fault, TEST_VA + PAGE_BYTES - 4, 10);
    page_map(TEST_VA, 0, 0);
    CHECK(trap.caught);
    CHECK_EQUAL(trap.frame.vector, VECTOR_PF);
    CHECK_EQUAL(trap.frame.error, PF_WRITE);
    CHECK_EQUAL(trap.cr2, TEST_VA + PAGE_BYTES);
    CHECK_EQUAL(trap.frame.rdi, TEST_VA + PAGE_BYTES);
    CHECK_EQUAL(trap.frame.rcx, 6);
    CHECK_EQUAL(page[PAGE_BYTES - 1], 0x18);
    page_free(page);
}
