/* Sessions, process groups, orphans. */
#include "proc_common.h"

TEST(getters)
{
    CHECK_EQ(getpgid(0), getpgrp());
    CHECK_EQ(getsid(0), getsid(getpid()));
    CHECK_ERR(getpgid(0x3ffffff), ESRCH);
    CHECK_ERR(getsid(0x3ffffff), ESRCH);
    CHECK_ERR(getpgid(-1), ESRCH);
}

static void new_session(void *arg)
{
    pid_t old_sid = getsid(0);
    EXPECT(setsid() == getpid());
    EXPECT(getsid(0) == getpid());
    EXPECT(getpgrp() == getpid());
    EXPECT(getsid(0) != old_sid);
    EXPECT(setsid() == -1 && errno == EPERM);
    EXPECT(setpgid(0, 0) == -1 && errno == EPERM); /* a session leader stays */
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(getsid(0) == getppid());
        EXPECT(getpgrp() == getppid());
        EXPECT(setpgid(0, 0) == 0);
        EXPECT(getpgrp() == getpid());
        EXPECT(setsid() == -1 && errno == EPERM); /* a group leader may not */
        _exit(0);
    }
    EXPECT(wait_status(pid) == 0);
}

TEST(setsid)
{
    CHECK_EQ(run_child(new_session, NULL), 0);
}

static void hold(void *arg)
{
    gate_wait(arg);
}

static void other_session(void *arg)
{
    struct gate *g = arg;
    EXPECT(setsid() > 0);
    EXPECT(write(g[1].fd[1], "r", 1) == 1);
    gate_wait(&g[0]);
}

TEST(setpgid_rules)
{
    struct gate g[2];
    gate_init(&g[0]);
    gate_init(&g[1]);
    pid_t a = spawn(hold, &g[0]), b = spawn(hold, &g[0]), c = spawn(other_session, g);
    CHECK(gate_wait(&g[1]));
    CHECK_EQ(setpgid(a, 0), 0);
    CHECK_EQ(getpgid(a), a);
    CHECK_EQ(setpgid(b, a), 0);
    CHECK_EQ(getpgid(b), a);
    CHECK_ERR(setpgid(b, -1), EINVAL);
    CHECK_ERR(setpgid(b, 0x3ffffff), EPERM);
    CHECK_ERR(setpgid(0x3ffffff, 0), ESRCH);
    CHECK_ERR(setpgid(c, a), EPERM); /* another session */
    CHECK_ERR(setpgid(b, c), EPERM);
    if (getppid() > 0)
        CHECK_ERR(setpgid(getppid(), 0), ESRCH); /* neither us nor a child */
    CHECK_EQ(setpgid(b, b), 0);
    for (int i = 0; i < 3; i++)
        gate_open(&g[0]);
    wait_status(a);
    wait_status(b);
    wait_status(c);
    gate_done(&g[0]);
    gate_done(&g[1]);
}

TEST(a_group_outlives_its_leader)
{
    struct gate g;
    gate_init(&g);
    pid_t a = spawn(hold, &g), b = spawn(hold, &g), c = spawn(hold, &g);
    CHECK_EQ(setpgid(a, a), 0);
    CHECK_EQ(setpgid(b, a), 0);
    kill(a, SIGKILL);
    wait_status(a);
    CHECK_EQ(getpgid(b), a);
    CHECK_EQ(setpgid(c, a), 0); /* the number still names the group */
    CHECK_EQ(kill(-a, 0), 0);
    CHECK_ERR(kill(a, 0), ESRCH);
    CHECK_EQ(kill(-a, SIGKILL), 0);
    CHECK_EQ(wait_status(b), SIGKILL);
    CHECK_EQ(wait_status(c), SIGKILL);
    CHECK_ERR(kill(-a, 0), ESRCH);
    gate_done(&g);
}

static void job(void *arg)
{
    raise(SIGSTOP);
    for (;;)
        pause();
}

/* A shell-like parent in a session of its own that dies with a stopped job. */
static void shell(void *arg)
{
    struct gate *g = arg;
    int st;
    setsid();
    pid_t mid = fork(); /* the job's parent, in a group of its own */
    if (mid == 0) {
        setpgid(0, 0);
        pid_t pid = spawn(job, NULL);
        setpgid(pid, pid);
        EXPECT(waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st));
        EXPECT(write(g->fd[1], &pid, sizeof(pid)) == sizeof(pid));
        _exit(0); /* now the job's group is orphaned and stopped: SIGHUP, SIGCONT */
    }
    wait_status(mid);
}

TEST(orphaned_stopped_group_is_hung_up)
{
    struct gate g;
    pid_t pid = 0;
    gate_init(&g);
    CHECK_EQ(run_child(shell, &g), 0);
    CHECK_EQ(read(g.fd[0], &pid, sizeof(pid)), sizeof(pid));
    int gone = 0;
    for (int i = 0; i < 300 && !gone; i++) {
        gone = kill(pid, 0) < 0 && errno == ESRCH;
        waitpid(pid, NULL, WNOHANG); /* it may have come to us */
        sleep_ms(10);
    }
    CHECK(gone);
    gate_done(&g);
}

static void stop_self(void *arg)
{
    setsid(); /* alone: an orphaned group */
    kill(getpid(), SIGTSTP); /* does nothing there */
    kill(getpid(), SIGTTIN);
    _exit(7);
}

TEST(orphaned_groups_do_not_stop_by_tty_signals)
{
    CHECK_EQ(run_child(stop_self, NULL), 7 << 8);
}
