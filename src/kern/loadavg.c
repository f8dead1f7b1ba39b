/*
 * Load averages from CPU time: between two looks the number of tasks that ran on average is
 * the CPU time used divided by the time passed. That is what Linux's samples of
 * runnable tasks estimate, less those that waited for a CPU: tasks that run at the moment
 * of a look count at least.
 */
#include "kern/loadavg.h"

#include "kern/kern_int.h"
#include "kern/parts.h"

static struct mutex load_lock = MUTEX_INIT("loadavg");
static double loads[3];      /* guarded by load_lock, as last_* */
static s64 last_ns;
static u64 last_cpu_ns;

/* e^-x for x >= 0 without libm: by halving and squaring, to a millionth. */
static double exp_minus(double x)
{
    int nhalvings = 0;
    for (; x > 0.01 && nhalvings < 24; nhalvings++)
        x /= 2;
    double e = 1 - x + x * x / 2 - x * x * x / 6;
    while (nhalvings-- > 0)
        e *= e;
    return e;
}

struct counts {
    u32 running, total;
};

static void count_one(struct task *t, void *arg)
{
    struct counts *c = arg;
    c->total++;
    c->running += atomic_load(&t->state) == TASK_RUNNING;
}

void loadavg_count(u32 *ret_running, u32 *ret_total)
{
    struct counts c = {0};
    struct tgroup *g;
    rwlock_rdlock(&task_lock);
    list_for_each(g, &all_tgroups, all_node)
        tgroup_for_each_task(g, count_one, &c);
    rwlock_rdunlock(&task_lock);
    *ret_running = c.running;
    *ret_total = c.total;
}

void loadavg_now(u64 ret_loads[3])
{
    static const double periods_ns[3] = {60e9, 300e9, 900e9};
    u32 running, total;
    loadavg_count(&running, &total);
    struct task_usage u;
    usage_total_now(&u);
    u64 cpu = u.utime_ns + u.stime_ns;
    MUTEX_GUARD(&load_lock);
    s64 now = clock_mono_ns();
    double passed = (double)(now - last_ns);
    if (last_ns != 0 && passed > 1e6) {
        double active = cpu > last_cpu_ns ? (double)(cpu - last_cpu_ns) / passed : 0;
        for (int i = 0; i < 3; i++) {
            double keep = exp_minus(passed / periods_ns[i]);
            loads[i] = loads[i] * keep + active * (1 - keep);
        }
    }
    if (last_ns == 0 || passed > 1e6) {
        last_ns = now;
        last_cpu_ns = cpu;
    }
    for (int i = 0; i < 3; i++)
        ret_loads[i] = (u64)(loads[i] * LOADAVG_ONE);
}
