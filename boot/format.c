/* SPDX-License-Identifier: MIT
 *
 * The table of magic numbers. Order matters where one file carries two: a Linux kernel with an EFI stub is a
 * PE program too, and a hybrid ISO begins with a boot sector.
 */
#include "boot/format.h"

#include <string.h>

#include "base/bytes.h"
#include "boot/multiboot.h"

struct foreign_format {
    uint32_t offset;
    uint8_t len;
    char magic[11];
    const char *name;
    const char *advice;
};

#define MAGIC(string) sizeof(string) - 1, string
#define COMPRESSED                                                                            \
    "unpack it first (a Linux vmlinux boots by PVH, a bzImage as it is); an initrd is given " \
    "as such, beside a kernel"
#define DISK      "it is a disk, not something to boot directly; give the kernel that is on it"
#define PACKAGE   "unpack it, and give the kernel that is in its folder boot"
#define OTHER_CPU "the guest has an x86 processor; give a kernel that was built for x86-64"

static const struct foreign_format foreign_formats[] = {
    {0x38, MAGIC("ARM\x64"), "a Linux kernel for arm64", OTHER_CPU},
    {0x38, MAGIC("RSC\x05"), "a Linux kernel for RISC-V", OTHER_CPU},
    {0x24, MAGIC("\x18\x28\x6f\x01"), "a Linux kernel for 32-bit ARM", OTHER_CPU},
    {0, MAGIC("\x1f\x8b"), "compressed with gzip", COMPRESSED},
    {0,
     MAGIC("\xfd"
           "7zXZ\0"),
     "compressed with xz", COMPRESSED},
    {0, MAGIC("\x28\xb5\x2f\xfd"), "compressed with zstd", COMPRESSED},
    {0, MAGIC("BZh"), "compressed with bzip2", COMPRESSED},
    {0, MAGIC("\x04\x22\x4d\x18"), "compressed with lz4", COMPRESSED},
    {0, MAGIC("\x02\x21\x4c\x18"), "compressed with lz4 (legacy)", COMPRESSED},
    {0, MAGIC("\x89LZO\0"), "compressed with lzop", COMPRESSED},
    {0, MAGIC("\x5d\0\0"), "compressed with lzma", COMPRESSED},
    {0, MAGIC("QFI\xfb"), "a qcow2 disk image", DISK},
    {0, MAGIC("KDMV"), "a VMDK disk image", DISK},
    {0, MAGIC("vhdxfile"), "a VHDX disk image", DISK},
    {0x40, MAGIC("\x7f\x10\xda\xbe"), "a VDI disk image", DISK},
    {0, MAGIC("conectix"), "a VHD disk image", DISK},
    {0x8001, MAGIC("CD001"), "an ISO 9660 image (a CD or DVD)", DISK},
    {0x200, MAGIC("EFI PART"), "a disk image with a GPT partition table", DISK},
    {0, MAGIC("hsqs"), "a squashfs file system", DISK},
    {0, MAGIC("XFSB"), "an XFS file system", DISK},
    {0, MAGIC("LUKS\xba\xbe"), "an encrypted (LUKS) disk", DISK},
    {0x400, MAGIC("\xe2\xe1\xf5\xe0"), "an EROFS file system", DISK},
    {0x10040, MAGIC("_BHRfS_M"), "a btrfs file system", DISK},
    {0x438, MAGIC("\x53\xef"), "an ext2, ext3 or ext4 file system", DISK},
    {0, MAGIC("\x27\x05\x19\x56"), "a U-Boot image", OTHER_CPU},
    {0, MAGIC("\xd0\x0d\xfe\xed"), "a device tree", "a PC has none; give the kernel"},
    {0x101, MAGIC("ustar"), "a tar archive", "give the kernel that is in it"},
    {4, MAGIC("zimg"), "a compressed kernel for EFI (zboot)", OTHER_CPU},
    {0, MAGIC("070701"), "a cpio archive", "if it is an initramfs, give it as an initrd, beside a kernel"},
    {8, MAGIC("debian-bin"), "a Debian package", PACKAGE},
    {0, MAGIC("\xed\xab\xee\xdb"), "an RPM package", PACKAGE},
    {0, MAGIC("PK\3\4"), "a zip archive", "give the kernel that is in it"},
    {0, MAGIC("ANDROID!"), "an Android boot image", "take the kernel and the ramdisk out of it"},
    {0, MAGIC("\xcf\xfa\xed\xfe"), "a Mach-O file", "give an ELF kernel"},
    {0, MAGIC("!<arch>\n"), "an archive of object files", "link it first"},
    {0, MAGIC("#!"), "a script", "give the image that it makes or starts"},
    {0, MAGIC("MZ"), "a PE program (EFI or Windows)", "there is no EFI firmware here; give an ELF kernel"},
    {0x1fe, MAGIC("\x55\xaa"), "a boot sector or a disk image",
     "if it is a boot sector that is to run by itself, load it as flat real16 code"},
};

bool format_has(const struct boot_image *image, uint64_t offset, const void *bytes, size_t len)
{
    return range_inside(offset, len, 0, image->len) && !memcmp(image->bytes + offset, bytes, len);
}

enum boot_format format_detect(const struct boot_image *image)
{
    struct multiboot_header header;
    if (format_has(image, 0x202, "HdrS", 4))
        return FORMAT_LINUX; /* its compressed part may hold any bytes, a multiboot header's too */
    if (format_has(image, 0, "\177ELF", 4))
        return FORMAT_ELF;
    return multiboot_find(image, &header) ? FORMAT_MULTIBOOT : FORMAT_OTHER;
}

static bool has_multiboot2(const struct boot_image *image)
{
    size_t end = image->len < 32 * KIB ? image->len : 32 * KIB;
    for (size_t offset = 0; offset + 16 <= end; offset += 8)
        if (load_le32(image->bytes + offset) == 0xe85250d6)
            return true;
    return false;
}

/* A PE program with a section .linux: the kernel inside a unified kernel image (of the UAPI group). */
static bool is_unified_kernel(const struct boot_image *image)
{
    if (!format_has(image, 0, "MZ", 2) || image->len < 0x40)
        return false;
    uint64_t pe = load_le32(image->bytes + 0x3c);
    if (!range_inside(pe, 24, 0, image->len) || !format_has(image, pe, "PE\0", 4))
        return false;
    unsigned count = load_le16(image->bytes + pe + 6);
    uint64_t section = pe + 24 + load_le16(image->bytes + pe + 20);
    for (unsigned i = 0; i < count; i++, section += 40)
        if (format_has(image, section, ".linux\0", 8))
            return true;
    return false;
}

int format_refuse(const struct boot_image *image, struct vmm_error *error)
{
    if (is_unified_kernel(image))
        return error_set(error, -ENOEXEC,
                         "%s: is a unified kernel image for EFI; take its parts out: objcopy -O binary "
                         "--only-section=.linux, and .initrd for the initrd",
                         image->name);
    for (size_t i = 0; i < ARRAY_COUNT(foreign_formats); i++) {
        const struct foreign_format *format = &foreign_formats[i];
        if (format_has(image, format->offset, format->magic, format->len))
            return error_set(error, -ENOEXEC, "%s: is %s; %s", image->name, format->name, format->advice);
    }
    if (has_multiboot2(image))
        return error_set(error, -ENOEXEC,
                         "%s: has a multiboot 2 header only; give it a multiboot 1 header or a PVH note",
                         image->name);
    return error_set(
        error, -ENOEXEC,
        "%s: is neither an ELF file nor has a multiboot header; if it is plain code, say how it is "
        "entered: flat real16, prot32 or long64, and its address",
        image->name);
}
