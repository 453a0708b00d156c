/* SPDX-License-Identifier: MIT
 *
 * What the files of this folder share: pci.c is the bus and the ways to configuration space, config.c a
 * function's registers, bar.c who answers at an address, msix.c and intx.c its interrupts.
 *
 * Locks, each taken inside of those before it: a device's, pci.lock, msix.lock or pci.intx_lock. Who answers
 * at an address is read without any.
 */
#ifndef DEVICES_PCI_INTERNAL_H
#define DEVICES_PCI_INTERNAL_H

#include <pthread.h>

#include "devices/pci/function.h"

/* Registers of a type 0 header (PCI Local Bus 3.0 6.1). */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CACHE_LINE = 0x0c,
    PCI_BARS = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_HEADER_BYTES = 0x40,
    PCI_CONFIG_BYTES = 0x100,   /* of a conventional function */
    PCI_EXTENDED_BYTES = 0x1000 /* its place in the ECAM */
};

#define PCI_COMMAND_MEMORY       0x0002u
#define PCI_COMMAND_MASTER       0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTERRUPT     0x0008u
#define PCI_STATUS_CAPABILITIES  0x0010u
#define PCI_BAR_64               0x4u
#define PCI_BAR_PREFETCHABLE     0x8u

#define PCI_UNMAPPED UINT64_MAX

struct pci_bar {
    struct pci_bar_config config;
    uint64_t address; /* where it decodes, or PCI_UNMAPPED; atomic */
};

/* Each 16 bytes of the table: message address, message data, vector control. */
struct pci_msix_vector {
    uint32_t words[4];
};

struct pci_msix {
    pthread_mutex_t lock;
    unsigned count;      /* 0: there is no MSI-X */
    unsigned capability; /* its offset */
    unsigned pba_offset; /* in its BAR, behind the table */
    bool enabled;        /* atomic, and so the next */
    bool held;           /* nothing may be sent: the function is masked or may not access memory */
    struct pci_msix_vector *vectors;
    uint64_t *pending; /* a bit for each vector */
};

struct pci_function {
    struct pci *pci;
    const char *name;
    unsigned slot;
    uint8_t registers[PCI_CONFIG_BYTES]; /* under pci.lock, and so the next */
    uint8_t writable[PCI_CONFIG_BYTES];  /* a 1 for each bit that the guest may change */
    unsigned capability_end;             /* the first byte that no capability has */
    unsigned capability_link;            /* the byte that points to the next capability */
    struct pci_bar bars[PCI_BAR_COUNT];
    struct pci_doorbell *doorbells; /* under pci.lock */
    struct pci_msix msix;
    uint16_t command; /* of the registers; atomic, for who does not hold the lock */
    bool pin;         /* the level of INTA; atomic */
    bool drives_line; /* under pci.intx_lock */

    unsigned served_offset, served_len;
    const struct pci_register_ops *served_ops;
    void *served_device;
};

struct pci {
    pthread_mutex_t lock;
    struct pci_config config;
    struct bus_region ecam, low, high, data;
    uint32_t address; /* CONFIG_ADDRESS */
    struct pci_function *slots[PCI_SLOT_COUNT];
    struct pci_function *bridge;

    pthread_mutex_t intx_lock;
    unsigned
        intx_counts[PCI_INTX_COUNT]; /* functions that drive the line; lines with one GSI share the first */
};

/* config.c: any slot, 0 included. Accesses of 1, 2 or 4 bytes; what leaves the function's space is not there.
 */
int pci_function_place(struct pci *pci, const struct pci_function_config *config,
                       struct pci_function **function, struct vmm_error *error);
uint32_t pci_config_read(struct pci_function *function, unsigned offset, unsigned size);
void pci_config_write(struct pci_function *function, unsigned offset, unsigned size, uint32_t value);

/* bar.c: gives the function a BAR. */
void pci_bar_set(struct pci_function *function, unsigned bar, const struct pci_bar_config *config);
/* What follows from the registers as they are now. With pci.lock held. */
void pci_bars_update(struct pci_function *function);
uint64_t pci_window_read(struct pci *pci, uint64_t address, unsigned size);
void pci_window_write(struct pci *pci, uint64_t address, unsigned size, uint64_t value);

/* msix.c: update with pci.lock held. */
int pci_msix_init(struct pci_function *function, const struct pci_function_config *config);
void pci_msix_fini(struct pci_msix *msix);
void pci_msix_update(struct pci_function *function);

/* intx.c */
void pci_intx_update(struct pci_function *function);

#endif
