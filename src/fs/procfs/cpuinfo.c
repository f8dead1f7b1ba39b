/*
 * /proc/cpuinfo from the cpuid instruction: what the application can find out
 * for itself, in Linux's words. Names of flags follow arch/x86's /proc/cpuinfo;
 * a NULL is a bit that has no name there.
 */
#include <cpuid.h>
#include <string.h>

#include "kern/host_info.h"
#include "procfs/proc_int.h"

struct regs {
    u32 a, b, c, d;
};

static struct regs cpuid_of(u32 leaf, u32 sub)
{
    struct regs r = {0};
    u32 max = __get_cpuid_max(leaf & 0x80000000U, NULL);
    if (leaf <= max)
        __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
    return r;
}

static const char *const leaf1_edx[32] = {
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", NULL, "sep", "mtrr", "pge",
    "mca", "cmov", "pat", "pse36", "pn", "clflush", NULL, "dts", "acpi", "mmx", "fxsr", "sse", "sse2",
    "ss", "ht", "tm", "ia64", "pbe"};
static const char *const ext1_edx[32] = {
    [11] = "syscall", [19] = "mp", [20] = "nx", [22] = "mmxext", [25] = "fxsr_opt", [26] = "pdpe1gb",
    [27] = "rdtscp", [29] = "lm", [30] = "3dnowext", [31] = "3dnow"};
static const char *const leaf1_ecx[32] = {
    "pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid",
    "sdbg", "fma", "cx16", "xtpr", "pdcm", NULL, "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe",
    "popcnt", "tsc_deadline_timer", "aes", "xsave", NULL, "avx", "f16c", "rdrand", "hypervisor"};
static const char *const ext1_ecx[32] = {
    "lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse",
    "3dnowprefetch", "osvw", "ibs", "xop", "skinit", "wdt", NULL, "lwp", "fma4", "tce", NULL,
    "nodeid_msr", NULL, "tbm", "topoext", "perfctr_core", "perfctr_nb", NULL, "bpext", "ptsc",
    "perfctr_llc", "mwaitx", NULL, NULL};
static const char *const leaf7_ebx[32] = {
    "fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", NULL, "smep", "bmi2", "erms", "invpcid",
    "rtm", "cqm", NULL, "mpx", "rdt_a", "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma",
    NULL, "clflushopt", "clwb", "intel_pt", "avx512pf", "avx512er", "avx512cd", "sha_ni", "avx512bw",
    "avx512vl"};
static const char *const leafd_eax[32] = {"xsaveopt", "xsavec", "xgetbv1", "xsaves"};
static const char *const leaf71_eax[32] = {[4] = "avx_vnni", [5] = "avx512_bf16", [23] = "avx_ifma"};
static const char *const ext8_ebx[32] = {
    [0] = "clzero", [1] = "irperf", [2] = "xsaveerptr", [4] = "rdpru", [9] = "wbnoinvd",
    [12] = "amd_ibpb", [14] = "amd_ibrs", [15] = "amd_stibp", [24] = "amd_ssbd", [25] = "virt_ssbd"};
static const char *const leaf6_eax[32] = {[0] = "dtherm", [1] = "ida", [2] = "arat", [4] = "pln",
                                          [6] = "pts", [7] = "hwp"};
static const char *const leaf7_ecx[32] = {
    [1] = "avx512vbmi", [2] = "umip", [3] = "pku", [4] = "ospke", [5] = "waitpkg",
    [6] = "avx512_vbmi2", [8] = "gfni", [9] = "vaes", [10] = "vpclmulqdq", [11] = "avx512_vnni",
    [12] = "avx512_bitalg", [13] = "tme", [14] = "avx512_vpopcntdq", [16] = "la57", [22] = "rdpid",
    [24] = "bus_lock_detect", [25] = "cldemote", [27] = "movdiri", [28] = "movdir64b",
    [29] = "enqcmd"};
static const char *const ext7_ebx[32] = {"overflow_recov", "succor", NULL, "smca"};
static const char *const leaf7_edx[32] = {
    [2] = "avx512_4vnniw", [3] = "avx512_4fmaps", [4] = "fsrm", [8] = "avx512_vp2intersect",
    [10] = "md_clear", [14] = "serialize", [16] = "tsxldtrk", [18] = "pconfig", [19] = "arch_lbr",
    [20] = "ibt", [22] = "amx_bf16", [23] = "avx512_fp16", [24] = "amx_tile", [25] = "amx_int8",
    [28] = "flush_l1d", [29] = "arch_capabilities"};

static void put_bits(struct seq *s, u32 bits, const char *const names[32])
{
    for (int i = 0; i < 32; i++)
        if (((bits >> i) & 1) && names[i])
            seq_printf(s, " %s", names[i]);
}

static bool is_amd(void)
{
    return cpuid_of(0, 0).c == 0x444d4163; /* cAMD */
}

/* The flags that Linux makes up from what it knows. */
static void put_derived(struct seq *s)
{
    bool is_invariant = (cpuid_of(0x80000007, 0).d >> 8) & 1;
    if (is_invariant)
        seq_puts(s, " constant_tsc");
    seq_puts(s, " rep_good nopl");
    if (cpuid_of(0xb, 0).b)
        seq_puts(s, " xtopology");
    if (is_invariant)
        seq_puts(s, " nonstop_tsc");
    seq_puts(s, " cpuid");
    if (is_amd())
        seq_puts(s, " extd_apicid");
}

static void put_flags(struct seq *s)
{
    struct regs l1 = cpuid_of(1, 0), e1 = cpuid_of(0x80000001, 0), l7 = cpuid_of(7, 0);
    seq_puts(s, "flags\t\t:");
    put_bits(s, l1.d, leaf1_edx);
    put_bits(s, e1.d, ext1_edx);
    put_derived(s);
    put_bits(s, l1.c, leaf1_ecx);
    put_bits(s, e1.c, ext1_ecx);
    put_bits(s, l7.b, leaf7_ebx);
    put_bits(s, cpuid_of(0xd, 1).a, leafd_eax);
    put_bits(s, cpuid_of(7, 1).a, leaf71_eax);
    put_bits(s, cpuid_of(0x80000008, 0).b, ext8_ebx);
    put_bits(s, cpuid_of(6, 0).a, leaf6_eax);
    put_bits(s, l7.c, leaf7_ecx);
    put_bits(s, cpuid_of(0x80000007, 0).b, ext7_ebx);
    put_bits(s, l7.d, leaf7_edx);
    seq_putc(s, '\n');
}

static void put_text(struct seq *s, const char *label, char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ')
        text[--n] = 0;
    while (*text == ' ')
        text++;
    seq_printf(s, "%s: %s\n", label, text);
}

/* KiB: of the second level on AMD, the last one elsewhere, as Linux tells it. */
static u32 cache_kib(void)
{
    if (is_amd())
        return cpuid_of(0x80000006, 0).c >> 16;
    u32 last = 0;
    for (u32 i = 0; i < 8; i++) {
        struct regs r = cpuid_of(4, i);
        if ((r.a & 31) == 0)
            break;
        u64 size = (u64)((r.b >> 22) + 1) * (((r.b >> 12) & 0x3ff) + 1) * ((r.b & 0xfff) + 1) *
                   ((u64)r.c + 1);
        last = (u32)(size >> 10);
    }
    return last;
}

/* Of the time stamp counter, from the sandbox's start until now. */
static u64 tsc_khz(void)
{
    u64 ns = (u64)clock_mono_ns() - host_info.start_mono_ns;
    u64 cycles = __builtin_ia32_rdtsc() - host_info.start_tsc;
    return ns < 1000000 ? 1000000 : (u64)((double)cycles * 1e6 / (double)ns);
}

struct cpu_model {
    char vendor[13], brand[49];
    u32 family, model, stepping, max_leaf, clflush, cache, phys_bits, virt_bits;
    u64 khz;
};

static void get_model(struct cpu_model *m)
{
    struct regs r = cpuid_of(0, 0), l1 = cpuid_of(1, 0), e8 = cpuid_of(0x80000008, 0);
    *m = (struct cpu_model){.max_leaf = r.a, .khz = tsc_khz(), .cache = cache_kib()};
    memcpy(m->vendor, &r.b, 4);
    memcpy(m->vendor + 4, &r.d, 4);
    memcpy(m->vendor + 8, &r.c, 4);
    for (u32 i = 0; i < 3; i++) {
        struct regs b = cpuid_of(0x80000002 + i, 0);
        memcpy(m->brand + 16 * i, &b, 16);
    }
    m->family = (l1.a >> 8) & 15;
    m->model = (l1.a >> 4) & 15;
    m->stepping = l1.a & 15;
    if (m->family == 15)
        m->family += (l1.a >> 20) & 255;
    if (m->family >= 6)
        m->model += ((l1.a >> 16) & 15) << 4;
    m->clflush = ((l1.b >> 8) & 255) * 8;
    m->phys_bits = e8.a & 255;
    m->virt_bits = (e8.a >> 8) & 255;
}

static void put_one(struct seq *s, struct cpu_model *m, u32 cpu)
{
    u32 ncpus = host_info.ncpus;
    seq_printf(s, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", cpu, m->vendor,
               m->family, m->model);
    put_text(s, "model name\t", m->brand);
    seq_printf(s, "stepping\t: %u\nmicrocode\t: 0xffffffff\n", m->stepping);
    seq_printf(s, "cpu MHz\t\t: %llu.%03llu\ncache size\t: %u KB\n", (unsigned long long)(m->khz / 1000),
               (unsigned long long)(m->khz % 1000), m->cache);
    seq_printf(s, "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\n"
                  "initial apicid\t: %u\n",
               ncpus, cpu, ncpus, cpu, cpu);
    seq_printf(s, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n", m->max_leaf);
    put_flags(s);
    seq_puts(s, "bugs\t\t:\n");
    u64 bogo = m->khz / 5; /* hundredths of a bogomips: twice the MHz */
    seq_printf(s, "bogomips\t: %llu.%02llu\n", (unsigned long long)(bogo / 100),
               (unsigned long long)(bogo % 100));
    seq_printf(s, "clflush size\t: %u\ncache_alignment\t: %u\n", m->clflush, m->clflush);
    seq_printf(s, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n", m->phys_bits,
               m->virt_bits);
}

int show_cpuinfo(struct seq *s, const struct pinode *pi)
{
    struct cpu_model m;
    get_model(&m);
    while (s->cursor < host_info.ncpus && !seq_is_full(s))
        put_one(s, &m, (u32)s->cursor++);
    if (s->cursor >= host_info.ncpus)
        s->cursor = SEQ_END;
    return 0;
}
