/* SPDX-License-Identifier: MIT
 *
 * One PCI device with one function, as its device model sees it: configuration space with a type 0 header,
 * capabilities, memory BARs, MSI-X, one INTx pin. The device says once what it has; sizing, moving and
 * switching of BARs, and masking of interrupts, are between the guest and this.
 *
 * Locks: the bus's own lock is taken inside of a device's lock, never the other way round: BAR and capability
 * operations are called without it. So a device may call everything here with its own lock held.
 *
 * Threads: create and destroy while no vCPU runs, everything else from any thread.
 */
#ifndef DEVICES_PCI_FUNCTION_H
#define DEVICES_PCI_FUNCTION_H

#include "devices/pci/pci.h"

#define PCI_SLOT_ANY       0 /* slot 0 is the host bridge's */
#define PCI_CAP_VENDOR     0x09
#define PCI_CAP_MSIX       0x11
#define PCI_MSIX_COUNT_MAX 2048

/* A memory BAR. All are 64 bits wide: BAR n has registers n and n + 1, so that n is 0, 2 or 4. */
struct pci_bar_config {
    uint64_t len; /* a power of two from 4 KiB on; 0: there is no such BAR */
    bool is_prefetchable;
    const struct bus_ops
        *ops; /* read and write, for 1, 2, 4 or 8 bytes inside of the BAR; the rest is not used */
    void *device;
    struct lock *lock; /* taken around the operations; NULL: none */
};

struct pci_function_config {
    const char *name; /* for messages; borrowed */
    unsigned slot;    /* 1 to 31, or PCI_SLOT_ANY: the first that is free */
    uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
    uint32_t class_code; /* base class, subclass, programming interface: 0xBBSSPP */
    uint8_t revision;
    bool has_intx;       /* pin A */
    unsigned msix_count; /* vectors, up to PCI_MSIX_COUNT_MAX; 0: no MSI-X */
    unsigned msix_bar;   /* a BAR of its own, for the table and the pending bits; its bars[] entry is empty */
    struct pci_bar_config bars[PCI_BAR_COUNT];
};

struct pci_function;

/* Puts the function into its slot. -EBUSY where that is taken, -ENOSPC where all are. */
int pci_function_create(struct pci *pci, const struct pci_function_config *config,
                        struct pci_function **function, struct vmm_error *error);
void pci_function_destroy(struct pci_function *function);

/* Bytes of configuration space that the device serves itself. Called without a lock. */
struct pci_register_ops {
    uint32_t (*read)(void *device, unsigned offset,
                     unsigned size); /* `offset` counts from the register's first byte */
    void (*write)(void *device, unsigned offset, unsigned size, uint32_t value);
};

/* A capability, appended to the list: `bytes` is what follows the ID and the pointer to the next one, `len`
 * of them; `writable`, NULL for none, has a 1 for each bit that the guest may change. Returns its offset in
 * configuration space, or -ENOSPC. Before the guest runs. */
int pci_function_add_capability(struct pci_function *function, uint8_t id, const void *bytes,
                                const void *writable, size_t len);

/* Accesses to [offset, offset + len), up to 8 bytes, go to the device: one such range for each function. */
void pci_function_serve(struct pci_function *function, unsigned offset, unsigned len,
                        const struct pci_register_ops *ops, void *device);

/* A register as the guest would read it; a range that is served reads 0. */
uint32_t pci_function_read_config(struct pci_function *function, unsigned offset, unsigned size);

/* An access to a BAR as if it came from the guest, whether the BAR is decoded or not: `offset` + `size` must
 * lie inside, else all ones and no effect. Takes the BAR's lock. */
uint64_t pci_function_read_bar(struct pci_function *function, unsigned bar, uint64_t offset, unsigned size);
void pci_function_write_bar(struct pci_function *function, unsigned bar, uint64_t offset, unsigned size,
                            uint64_t value);

/* ---- Interrupts ---- */

/* How many vectors there are; 0 where the machine has no MSIs. */
unsigned pci_function_msix_count(const struct pci_function *function);
/* Whether the guest has switched MSI-X on; the INTx pin is dead then, whatever its level. */
bool pci_function_msix_enabled(const struct pci_function *function);
/* Sends the vector, or remembers it as pending while it is masked. A vector that there is not is nothing. */
void pci_function_send_msix(struct pci_function *function, unsigned vector);
/* The level of the pin. The line is the OR of all pins that are wired to it. */
void pci_function_set_intx(struct pci_function *function, bool level);
/* Whether it may access memory: the guest sets it in the command register. */
bool pci_function_is_master(const struct pci_function *function);

/* ---- Doorbells ---- */

/* A write to this place of a BAR, of any width, rings the eventfd, wherever the BAR is moved to, as long as
 * the host helps; otherwise it goes to the BAR's write operation. The storage is the device's, who fills in
 * the first group. */
struct pci_doorbell {
    unsigned bar;
    uint64_t offset;
    int event_fd;

    struct pci_doorbell *next;
    uint64_t address; /* where it is attached, if so */
    bool is_attached;
};

void pci_function_add_doorbell(struct pci_function *function, struct pci_doorbell *doorbell);
/* One that was not added is left alone. After it nobody rings; the eventfd may hold a last ring. */
void pci_function_remove_doorbell(struct pci_function *function, struct pci_doorbell *doorbell);

#endif
