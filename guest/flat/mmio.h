/* SPDX-License-Identifier: MIT
 *
 * What long64-mmio.S and the program that runs it agree on: a mailbox in guest memory, filled before the run
 * and read after it. Assembled and compiled, so plain numbers only.
 */
#ifndef GUEST_FLAT_MMIO_H
#define GUEST_FLAT_MMIO_H

#define MMIO_MAILBOX 0x200000 /* 64-bit fields at these offsets: */
#define MMIO_OP      0x00     /* MMIO_OP_* */
#define MMIO_RING    0x08     /* 0 or 3 */
#define MMIO_COUNT   0x10     /* how often the operation is done, from 1 */
#define MMIO_TARGET  0x18     /* where: RAM or a device, two pages, page-aligned */
#define MMIO_BEGIN   0x20     /* the guest's TSC before */
#define MMIO_END     0x28     /* and after all of them */
#define MMIO_STEP    0x30     /* the last thing reached: 1 paging, 2 vector state, 3 the operation */
#define MMIO_MORE    0x38     /* not 0: another operation stands in the mailbox when the port was written */
#define MMIO_IO_PORT 0x40     /* of the operations with ports */
#define MMIO_BATCHES 0x48     /* how often the guest has come to the port */
/* With MMIO_MORE 2, under a VMM that cannot be made to wait at the port: the guest waits until this is not
 * MMIO_BATCHES. */
#define MMIO_ORDERS  0x50
#define MMIO_VALUE   0x58 /* of the operations that say so */

/* Written behind each operation; whoever runs the guest may then look, and change the mailbox. */
#define MMIO_NEXT_PORT 0xf0

#define MMIO_BUFFER 0x210000 /* a page of RAM: the source of REP MOVS, 64 bytes for vector moves */

/* What the guest writes to the debug-exit port. */
#define MMIO_DONE  0
#define MMIO_NO_OP 1 /* there is no such operation */
#define MMIO_FAULT 2 /* an exception */

#define MMIO_OP_NOTHING    0
#define MMIO_OP_STORE      1  /* mov [target], eax */
#define MMIO_OP_LOAD       2  /* mov eax, [target] */
#define MMIO_OP_ADD        3  /* add dword [target], 3 */
#define MMIO_OP_LOCK_XADD  4  /* lock xadd [target], rax */
#define MMIO_OP_STORE16    5  /* movups [target], xmm0 */
#define MMIO_OP_STORE32    6  /* vmovups [target], ymm0 */
#define MMIO_OP_STORE64    7  /* vmovups [target], zmm0 */
#define MMIO_OP_LOAD16     8  /* movups xmm1, [target]; then to the buffer, at 64 */
#define MMIO_OP_REP_MOVSB  9  /* 4096 bytes from the buffer */
#define MMIO_OP_REP_STOSD  10 /* 4096 bytes */
#define MMIO_OP_LOOP       11 /* a loop of 64 stores of 4 bytes, upwards */
#define MMIO_OP_BURST      12 /* eight stores to eight registers, one behind the other */
#define MMIO_OP_CROSSING   13 /* mov [target + 4093], rax: across two pages of the device */
#define MMIO_OP_MOVSB_BACK 14 /* rep movsb of 4096 bytes from the target to the buffer */
#define MMIO_OP_MASKED     15 /* vmovups [target] {k1}, zmm0 with every other element */
#define MMIO_OP_CMPXCHG16B 16 /* lock cmpxchg16b [target] */
#define MMIO_OP_X87        17 /* fld qword [buffer]; fstp tbyte [target] */
#define MMIO_OP_COUNT      18 /* of the operations with memory; behind them are those of `vmm bench exits` */

#define MMIO_OP_CPUID      18
#define MMIO_OP_OUT8       19
#define MMIO_OP_OUT16      20
#define MMIO_OP_OUT32      21
#define MMIO_OP_IN8        22
#define MMIO_OP_IN16       23
#define MMIO_OP_IN32       24
#define MMIO_OP_REP_OUTSB  25 /* 4096 bytes from the buffer */
#define MMIO_OP_RDMSR      26 /* IA32_APIC_BASE */
#define MMIO_OP_WRMSR      27 /* 0 to IA32_UCODE_REV */
#define MMIO_OP_VMCALL     28 /* KVM_HC_VAPIC_POLL_IRQ, which does nothing */
#define MMIO_OP_VMMCALL    29
#define MMIO_OP_TOUCH      30 /* a byte of each page from the target on */
#define MMIO_OP_EOI        31 /* to the local APIC in x2APIC mode, with no interrupt in service */
#define MMIO_OP_SELF_IPI   32 /* through the interrupt and its EOI */
#define MMIO_OP_HLT_TIMER  33 /* HLT until the local APIC's timer, set to its shortest, ends it */
#define MMIO_OP_OUT8_BURST 34 /* eight writes of a byte */
#define MMIO_OP_RDMSR_USER 35 /* MMIO_USER_MSR */
#define MMIO_OP_WRMSR_USER 36
#define MMIO_OP_HLT_IRQFD \
    37 /* a byte to the port, whose listener raises IOAPIC pin MMIO_IRQFD_PIN; HLT until then */
#define MMIO_OP_IPI         38 /* to the second CPU, which spins, until its handler has said so in memory */
#define MMIO_OP_IPI_BACK    39 /* the same, answered by an IPI, until our handler has run */
#define MMIO_OP_IPI_HLT     40 /* as MMIO_OP_IPI, with the second CPU in HLT */
/* What somebody needs to set a device up by a batch of one. */
#define MMIO_OP_OUT_VALUE   41 /* the value, 4 bytes, to the port */
#define MMIO_OP_IN_VALUE    42 /* and from it */
#define MMIO_OP_STORE_VALUE 43 /* mov [target], value: 4 bytes */
#define MMIO_OP_LIMIT       44

#define MMIO_USER_MSR  0x1a0 /* IA32_MISC_ENABLE: every KVM knows it, unless it is filtered */
#define MMIO_IRQFD_PIN 5

#endif
