/* base: lists, trees, locks, wait queues. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/rbtree.h"
#include "base/ref.h"
#include "base/wait.h"
#include "test.h"

struct item {
    struct rb_node rb;
    struct list node;
    u32 key;
};

static int check_black_height(const struct rb_node *n)
{
    if (!n)
        return 1;
    if (n->is_red)
        CHECK(!(n->left && n->left->is_red) && !(n->right && n->right->is_red));
    int l = check_black_height(n->left), r = check_black_height(n->right);
    CHECK_EQ(l, r);
    return l + !n->is_red;
}

TEST(rbtree_random_insert_erase)
{
    enum { N = 2000 };
    static struct item items[N];
    static bool is_in[N];
    struct rb_tree t = {0};
    u32 seed = 1;
    size_t count = 0;
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1103515245 + 12345;
        u32 i = (seed >> 8) % N;
        if (is_in[i]) {
            rb_erase(&t, &items[i].rb);
            count--;
        } else {
            items[i].key = i;
            struct rb_node **link = &t.root, *parent = NULL;
            while (*link) {
                parent = *link;
                link = i < rb_entry(parent, struct item, rb)->key ? &parent->left : &parent->right;
            }
            rb_link(&t, &items[i].rb, parent, link);
            count++;
        }
        is_in[i] = !is_in[i];
        if (round % 500 == 0)
            check_black_height(t.root);
    }
    size_t seen = 0;
    s64 last = -1;
    for (struct rb_node *n = rb_first(&t); n; n = rb_next(n), seen++) {
        CHECK((s64)rb_entry(n, struct item, rb)->key > last);
        last = rb_entry(n, struct item, rb)->key;
    }
    CHECK_EQ(seen, count);
}

static struct mutex counter_lock = MUTEX_INIT("counter");
static struct rwlock counter_rw = RWLOCK_INIT("counter_rw");
static u64 counter, counter2;

static void *count_up(void *arg)
{
    for (int i = 0; i < 100000; i++) {
        mutex_lock(&counter_lock);
        counter++;
        mutex_unlock(&counter_lock);
        if (i % 4 == 0) {
            rwlock_wrlock(&counter_rw);
            counter2++;
            rwlock_wrunlock(&counter_rw);
        } else {
            rwlock_rdlock(&counter_rw);
            rwlock_rdunlock(&counter_rw);
        }
    }
    return arg;
}

TEST(locks_exclude)
{
    pthread_t th[4];
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(th[i], NULL);
    CHECK_EQ(counter, 400000);
    CHECK_EQ(counter2, 100000);
}

static struct waitq turn_q;
static _Atomic int turn;

static void *ping_pong(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int i = 0; i < 5000; i++) {
        int r = wait_event_interruptible(&turn_q, WAIT_IN, atomic_load(&turn) == me, NO_DEADLINE);
        if (r)
            return (void *)1;
        atomic_store(&turn, !me);
        waitq_wake(&turn_q, WAIT_IN);
    }
    return NULL;
}

TEST(waitq_loses_no_wake)
{
    pthread_t th[2];
    waitq_init(&turn_q);
    for (intptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, ping_pong, (void *)i), 0);
    for (int i = 0; i < 2; i++) {
        void *ret;
        pthread_join(th[i], &ret);
        CHECK(ret == NULL);
    }
    waitq_done(&turn_q);
}

TEST(park_deadline_and_interrupt)
{
    CHECK_EQ(park_interruptible(clock_mono_ns() + 1000000), -LX_ETIMEDOUT);
    parker_interrupt(parker_self());
    CHECK_EQ(park_interruptible(NO_DEADLINE), -LX_ERESTARTSYS);
    parker_clear_interrupt(parker_self());
    parker_wake(parker_self());
    CHECK_EQ(park_interruptible(NO_DEADLINE), 0);
}

TEST(log_has_an_end)
{
    static char text[900];
    struct stat st;
    char end[64] = "";
    int fd = memfd_create("log", MFD_CLOEXEC);
    memset(text, 'x', sizeof(text) - 1);
    log_set_fd(fd);
    for (int i = 0; i < 80000; i++)
        log_error("%s", text);
    log_set_fd(2);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(st.st_size > 60 << 20 && st.st_size < 66 << 20);
    CHECK_EQ(pread(fd, end, sizeof(end) - 1, st.st_size - 54), 54);
    CHECK(strstr(end, "the log is full: nothing more is written\n"));
    close(fd);
}

TEST(ref_counts)
{
    struct ref r;
    ref_init(&r);
    ref_get(&r);
    CHECK(!ref_put(&r));
    CHECK(ref_put(&r));
    CHECK(!ref_get_unless_zero(&r));
}
