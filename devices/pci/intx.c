/* SPDX-License-Identifier: MIT
 *
 * The INTx pins, and the lines that they are wired to: a line is up while any of its pins is. Pins whose
 * lines have one GSI are one line.
 */
#include "devices/pci/internal.h"

/* The first line of the same GSI. */
static unsigned shared_line(const struct pci *pci, unsigned line)
{
    unsigned first = 0;
    while (pci->config.intx[first].number != pci->config.intx[line].number)
        first++;
    return first;
}

/* The pin is dead while the guest has disabled it, or MSI-X is in use (PCI Local Bus 3.0 6.2.2, 6.8.3.3). */
static bool drives(const struct pci_function *function)
{
    return __atomic_load_n(&function->pin, __ATOMIC_RELAXED) &&
           !(__atomic_load_n(&function->command, __ATOMIC_RELAXED) & PCI_COMMAND_INTX_DISABLE) &&
           !pci_function_msix_enabled(function);
}

/* The lock is held over the line's change, so that two changes arrive in the order of the counts. */
void pci_intx_update(struct pci_function *function)
{
    struct pci *pci = function->pci;
    unsigned line = shared_line(pci, pci_intx_line(function->slot, 0));
    pthread_mutex_lock(&pci->intx_lock);
    bool now = drives(function);
    if (now != function->drives_line) {
        unsigned before = pci->intx_counts[line];
        pci->intx_counts[line] = now ? before + 1 : before - 1;
        function->drives_line = now;
        if (!before || !pci->intx_counts[line])
            irq_line_set(&pci->config.intx[line], now);
    }
    pthread_mutex_unlock(&pci->intx_lock);
}

void pci_function_set_intx(struct pci_function *function, bool level)
{
    if (__atomic_exchange_n(&function->pin, level, __ATOMIC_RELAXED) != level)
        pci_intx_update(function);
}
