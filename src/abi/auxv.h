/* The auxiliary vector: constants of the x86-64 Linux ABI. */
#ifndef ABI_AUXV_H
#define ABI_AUXV_H

#define LX_AT_NULL 0
#define LX_AT_IGNORE 1
#define LX_AT_EXECFD 2
#define LX_AT_PHDR 3
#define LX_AT_VECTOR_SIZE_ARCH 3
#define LX_AT_PHENT 4
#define LX_AT_PHNUM 5
#define LX_AT_PAGESZ 6
#define LX_AT_BASE 7
#define LX_AT_FLAGS 8
#define LX_AT_ENTRY 9
#define LX_AT_NOTELF 10
#define LX_AT_UID 11
#define LX_AT_EUID 12
#define LX_AT_GID 13
#define LX_AT_EGID 14
#define LX_AT_PLATFORM 15
#define LX_AT_HWCAP 0x10
#define LX_AT_CLKTCK 0x11
#define LX_AT_SECURE 0x17
#define LX_AT_BASE_PLATFORM 0x18
#define LX_AT_RANDOM 0x19
#define LX_AT_HWCAP2 0x1a
#define LX_AT_EXECFN 0x1f
#define LX_AT_SYSINFO_EHDR 0x21
#define LX_AT_MINSIGSTKSZ 0x33

#endif
