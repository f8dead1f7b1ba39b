/* System V IPC. */
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static void on_signal(int signo)
{
}

static void join(pid_t pid, int want)
{
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), want);
}

/* ---- shared memory ----------------------------------------------------------------------------- */

TEST(shm_basic)
{
    int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
    CHECK(id >= 0);
    struct shmid_ds ds;
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_segsz, 10000);
    CHECK_EQ(ds.shm_nattch, 0);
    CHECK_EQ(ds.shm_cpid, getpid());
    CHECK_EQ(ds.shm_perm.mode, 0600);
    CHECK_EQ(ds.shm_perm.cuid, geteuid());
    char *p = shmat(id, NULL, 0);
    CHECK(p != (void *)-1);
    strcpy(p, "hello");
    p[9999] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        shmctl(id, IPC_STAT, &ds);
        int ok = ds.shm_nattch == 2 && !strcmp(p, "hello");
        strcpy(p, "world");
        _exit(!ok);
    }
    join(pid, 0);
    CHECK_STR(p, "world");
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 1);
    CHECK_EQ(ds.shm_lpid, pid);
    char *q = shmat(id, NULL, SHM_RDONLY);
    CHECK(q != (void *)-1 && q != p);
    CHECK_STR(q, "world");
    CHECK_ERR(mprotect(q, 4096, PROT_READ | PROT_WRITE), EACCES);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0); /* still attached */
    CHECK_EQ(ds.shm_perm.mode & 01000, 01000);
    CHECK_EQ(ds.shm_nattch, 2);
    CHECK_EQ(shmdt(q), 0);
    CHECK_EQ(shmdt(p), 0);
    CHECK_ERR(shmdt(p), EINVAL);
    CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
    CHECK_ERR((long)shmat(id, NULL, 0), EINVAL);
}

TEST(shm_keys_and_errors)
{
    key_t key = (key_t)(0x43560000 | (getpid() & 0xffff));
    int id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
    CHECK(id >= 0);
    CHECK_ERR(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(shmget(key, 100, 0), id);
    CHECK_ERR(shmget(key, 5000, 0), EINVAL);
    CHECK_ERR(shmget(key + 1, 4096, 0), ENOENT);
    CHECK_ERR(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERR((long)shmat(id, (void *)0x123456, 0), EINVAL);
    CHECK_ERR((long)shmat(id, NULL, SHM_REMAP), EINVAL);
    CHECK_ERR(shmctl(id, 77, NULL), EINVAL);
    CHECK_ERR(shmctl(-1, IPC_STAT, NULL), EINVAL);
    CHECK_ERR(shmctl(id, IPC_STAT, (void *)8), EFAULT);
    struct shmid_ds ds;
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    ds.shm_perm.mode = 0666;
    CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_perm.mode & 0777, 0666);
    char *p = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_ERR((long)shmat(id, p, 0), EINVAL); /* something is there */
    CHECK(shmat(id, p + 10, SHM_RND | SHM_REMAP) == p);
    p[0] = 1;
    CHECK_EQ(shmdt(p), 0);
    munmap(p, 3 * 4096);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(shmget(key, 4096, 0), ENOENT);
}

TEST(shm_goes_with_process)
{
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    pid_t pid = fork();
    if (pid == 0) {
        char *p = shmat(id, NULL, 0);
        p[0] = 7;
        shmctl(id, IPC_RMID, NULL);
        _exit(0);
    }
    join(pid, 0);
    struct shmid_ds ds;
    CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(shm_info)
{
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600), max, found = 0;
    struct shminfo lim;
    struct shm_info use;
    struct shmid_ds ds;
    CHECK(shmctl(0, IPC_INFO, (void *)&lim) >= 0);
    CHECK_EQ(lim.shmmin, 1);
    max = shmctl(0, SHM_INFO, (void *)&use);
    CHECK(max >= 0);
    CHECK(use.used_ids >= 1);
    CHECK(use.shm_tot >= 2);
    for (int i = 0; i <= max; i++)
        if (shmctl(i, SHM_STAT, &ds) == id)
            found = 1;
    CHECK(found);
    CHECK_EQ(shmctl(id, SHM_LOCK, NULL), 0);
    CHECK_EQ(shmctl(id, SHM_UNLOCK, NULL), 0);
    shmctl(id, IPC_RMID, NULL);
}

/* ---- semaphores ---------------------------------------------------------------------------------- */

static int op(int id, int num, int delta, int flags)
{
    struct sembuf sb = {(unsigned short)num, (short)delta, (short)flags};
    return semop(id, &sb, 1);
}

TEST(sem_basic)
{
    int id = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
    union semun u = {.val = 2};
    unsigned short vals[3] = {9, 9, 9};
    struct semid_ds ds;
    CHECK(id >= 0);
    CHECK_EQ(semctl(id, 1, GETVAL), 0);
    CHECK_EQ(semctl(id, 1, SETVAL, u), 0);
    CHECK_EQ(semctl(id, 1, GETVAL), 2);
    CHECK_EQ(op(id, 1, -2, 0), 0);
    CHECK_ERR(op(id, 1, -1, IPC_NOWAIT), EAGAIN);
    CHECK_EQ(op(id, 1, 0, 0), 0);
    CHECK_EQ(op(id, 2, 5, 0), 0);
    CHECK_ERR(op(id, 2, 0, IPC_NOWAIT), EAGAIN);
    u.array = vals;
    CHECK_EQ(semctl(id, 0, GETALL, u), 0);
    CHECK(vals[0] == 0 && vals[1] == 0 && vals[2] == 5);
    CHECK_EQ(semctl(id, 2, GETPID), getpid());
    vals[0] = 3;
    CHECK_EQ(semctl(id, 0, SETALL, u), 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 3);
    u.buf = &ds;
    CHECK_EQ(semctl(id, 0, IPC_STAT, u), 0);
    CHECK_EQ(ds.sem_nsems, 3);
    CHECK(ds.sem_otime > 0);
    /* all or nothing */
    struct sembuf two[2] = {{0, -1, 0}, {1, -1, IPC_NOWAIT}};
    CHECK_ERR(semop(id, two, 2), EAGAIN);
    CHECK_EQ(semctl(id, 0, GETVAL), 3);
    CHECK_ERR(op(id, 3, 1, 0), EFBIG);
    CHECK_ERR(op(id, 0, 32767, 0), ERANGE);
    u.val = 40000;
    CHECK_ERR(semctl(id, 0, SETVAL, u), ERANGE);
    CHECK_ERR(semctl(id, 5, GETVAL), EINVAL);
    CHECK_ERR(semop(id, two, 0), EINVAL);
    CHECK_ERR(semop(id, two, 100000), E2BIG);
    CHECK_ERR(semget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERR(semget(IPC_PRIVATE, -1, IPC_CREAT | 0600), EINVAL);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    CHECK_ERR(semctl(id, 0, GETVAL), EINVAL);
}

TEST(sem_waits)
{
    int id = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
    pid_t pid = fork();
    if (pid == 0)
        _exit(op(id, 0, -1, 0) != 0);
    for (int i = 0; i < 1000 && semctl(id, 0, GETNCNT) == 0; i++)
        usleep(1000);
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    CHECK_EQ(semctl(id, 0, GETZCNT), 0);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    join(pid, 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 0);
    CHECK_EQ(op(id, 1, 1, 0), 0);
    pid = fork();
    if (pid == 0)
        _exit(op(id, 1, 0, 0) != 0);
    for (int i = 0; i < 1000 && semctl(id, 1, GETZCNT) == 0; i++)
        usleep(1000);
    CHECK_EQ(semctl(id, 1, GETZCNT), 1);
    CHECK_EQ(op(id, 1, -1, 0), 0);
    join(pid, 0);
    struct timespec ts = {0, 20000000};
    struct sembuf sb = {0, -1, 0};
    CHECK_ERR(semtimedop(id, &sb, 1, &ts), EAGAIN);
    ts.tv_nsec = -1;
    CHECK_ERR(semtimedop(id, &sb, 1, &ts), EINVAL);
    pid = fork();
    if (pid == 0)
        _exit(op(id, 0, -1, 0) == -1 && errno == EIDRM ? 0 : 1);
    for (int i = 0; i < 1000 && semctl(id, 0, GETNCNT) == 0; i++)
        usleep(1000);
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
    join(pid, 0);
}

TEST(sem_interrupted)
{
    int id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(SIGUSR1, &sa, NULL);
        _exit(op(id, 0, -1, 0) == -1 && errno == EINTR ? 0 : 1);
    }
    for (int i = 0; i < 1000 && semctl(id, 0, GETNCNT) == 0; i++)
        usleep(1000);
    kill(pid, SIGUSR1);
    join(pid, 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    semctl(id, 0, IPC_RMID);
}

TEST(sem_undo)
{
    int id = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
    CHECK_EQ(op(id, 0, 5, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        op(id, 0, -3, SEM_UNDO);
        op(id, 1, 2, SEM_UNDO);
        op(id, 1, 1, 0);
        kill(getpid(), SIGKILL);
    }
    int st;
    waitpid(pid, &st, 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 5);
    CHECK_EQ(semctl(id, 1, GETVAL), 1);
    /* SETVAL forgets adjustments */
    pid = fork();
    if (pid == 0) {
        union semun u = {.val = 9};
        op(id, 0, -1, SEM_UNDO);
        semctl(id, 0, SETVAL, u);
        _exit(0);
    }
    join(pid, 0);
    CHECK_EQ(semctl(id, 0, GETVAL), 9);
    semctl(id, 0, IPC_RMID);
}

static int stress_id;

static void *stress(void *arg)
{
    int *count = arg;
    for (int i = 0; i < 500; i++) {
        op(stress_id, 0, -1, 0);
        ++*(volatile int *)count;
        op(stress_id, 0, 1, 0);
    }
    return NULL;
}

TEST(sem_excludes)
{
    pthread_t th[4];
    int count = 0;
    stress_id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    op(stress_id, 0, 1, 0);
    for (int i = 0; i < 4; i++)
        pthread_create(&th[i], NULL, stress, &count);
    for (int i = 0; i < 4; i++)
        pthread_join(th[i], NULL);
    CHECK_EQ(count, 2000);
    semctl(stress_id, 0, IPC_RMID);
}

/* ---- message queues -------------------------------------------------------------------------------- */

struct mbuf {
    long type;
    char text[64];
};

static int snd(int id, long type, const char *text)
{
    struct mbuf m = {.type = type};
    strcpy(m.text, text);
    return msgsnd(id, &m, strlen(text) + 1, IPC_NOWAIT);
}

TEST(msg_basic)
{
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct mbuf m;
    struct msqid_ds ds;
    CHECK(id >= 0);
    CHECK_ERR(msgrcv(id, &m, 64, 0, IPC_NOWAIT), ENOMSG);
    CHECK_EQ(snd(id, 3, "three"), 0);
    CHECK_EQ(snd(id, 1, "one"), 0);
    CHECK_EQ(snd(id, 2, "two"), 0);
    CHECK_EQ(snd(id, 1, "uno"), 0);
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.msg_qnum, 4);
    CHECK_EQ(ds.msg_cbytes, 18);
    CHECK_EQ(ds.msg_lspid, getpid());
    CHECK_EQ(msgrcv(id, &m, 64, 2, 0), 4);
    CHECK_STR(m.text, "two");
    CHECK_EQ(msgrcv(id, &m, 64, -2, 0), 4);
    CHECK_STR(m.text, "one");
    CHECK_EQ(msgrcv(id, &m, 64, 3, MSG_EXCEPT), 4);
    CHECK_STR(m.text, "uno");
    CHECK_ERR(msgrcv(id, &m, 3, 0, 0), E2BIG);
    CHECK_EQ(msgrcv(id, &m, 3, 0, MSG_NOERROR), 3);
    CHECK(!memcmp(m.text, "thr", 3));
    m.type = 0;
    CHECK_ERR(msgsnd(id, &m, 1, 0), EINVAL);
    m.type = 1;
    CHECK_ERR(msgsnd(id, &m, 1000000, 0), EINVAL);
    CHECK_ERR(msgsnd(id, (void *)8, 1, 0), EFAULT);
    CHECK_ERR(msgrcv(id, &m, (size_t)-1, 0, 0), EINVAL);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    CHECK_ERR(msgsnd(id, &m, 1, 0), EINVAL);
}

TEST(msg_blocks)
{
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct mbuf m;
    pid_t pid = fork();
    if (pid == 0)
        _exit(msgrcv(id, &m, 64, 0, 0) == 6 && !strcmp(m.text, "hello") ? 0 : 1);
    usleep(30000);
    CHECK_EQ(snd(id, 5, "hello"), 0);
    join(pid, 0);
    int n = 0;
    while (snd(id, 1, "fill the queue with some text") == 0)
        n++;
    CHECK_EQ(errno, EAGAIN);
    CHECK(n > 100);
    pid = fork();
    if (pid == 0) {
        m.type = 9;
        _exit(msgsnd(id, &m, 30, 0) != 0);
    }
    usleep(30000);
    CHECK(msgrcv(id, &m, 64, 1, 0) > 0);
    join(pid, 0);
    CHECK_EQ(msgrcv(id, &m, 64, 9, IPC_NOWAIT), 30);
    pid = fork();
    if (pid == 0)
        _exit(msgrcv(id, &m, 64, 77, 0) == -1 && errno == EIDRM ? 0 : 1);
    usleep(30000);
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    join(pid, 0);
}

TEST(msg_copy)
{
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct mbuf m;
    snd(id, 1, "a");
    snd(id, 2, "b");
    ssize_t r = msgrcv(id, &m, 64, 1, MSG_COPY | IPC_NOWAIT);
    if (r == 2) { /* optional in Linux */
        CHECK_STR(m.text, "b");
        CHECK_ERR(msgrcv(id, &m, 64, 2, MSG_COPY | IPC_NOWAIT), ENOMSG);
        struct msqid_ds ds;
        msgctl(id, IPC_STAT, &ds);
        CHECK_EQ(ds.msg_qnum, 2);
    } else {
        CHECK_EQ(errno, ENOSYS);
    }
    msgctl(id, IPC_RMID, NULL);
}

TEST(permissions)
{
    if (geteuid() != 0)
        return;
    int shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    int sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0640);
    pid_t pid = fork();
    if (pid == 0) {
        struct shmid_ds ds;
        int bad = 0;
        if (setgid(12345) || setuid(12345))
            _exit(50);
        bad |= !((long)shmat(shm, NULL, SHM_RDONLY) == -1 && errno == EACCES);
        bad |= !(shmctl(shm, IPC_STAT, &ds) == -1 && errno == EACCES) << 1;
        bad |= !(shmctl(shm, IPC_RMID, NULL) == -1 && errno == EPERM) << 2;
        bad |= !(op(sem, 0, 1, IPC_NOWAIT) == -1 && errno == EACCES) << 3;
        bad |= !(semctl(sem, 0, IPC_RMID) == -1 && errno == EPERM) << 4;
        _exit(bad);
    }
    join(pid, 0);
    shmctl(shm, IPC_RMID, NULL);
    semctl(sem, 0, IPC_RMID);
}

TEST(proc_sysvipc)
{
    int id = shmget(IPC_PRIVATE, 12345, IPC_CREAT | 0600), found = 0;
    char line[512];
    FILE *f = fopen("/proc/sysvipc/shm", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        int key, sid, mode;
        long size;
        if (sscanf(line, "%d %d %o %ld", &key, &sid, &mode, &size) == 4 && sid == id && size == 12345)
            found = 1;
    }
    fclose(f);
    CHECK(found);
    shmctl(id, IPC_RMID, NULL);
}
