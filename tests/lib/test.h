/*
 * A small test harness in one header, used by unit tests and by guest programs
 * (which run natively and in a sandbox alike). Each TEST is run in order; a failed CHECK
 * reports and ends that test only. Output: one line a test ("ok NAME" or
 * "not ok NAME: file:line: …"), then "N passed, N failed"; exit status 1 if any failed.
 * With arguments, only the tests named run.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
    const char *name;
    void (*fn)(void);
    struct test_case *next;
};

static struct test_case *test_list;
__attribute__((unused)) static struct test_case **test_tail = &test_list;
static __thread jmp_buf *test_jmp;
static __thread char test_msg[512];

#define TEST(name_)                                                                                \
    static void test_##name_(void);                                                                \
    static struct test_case test_case_##name_ = {#name_, test_##name_, NULL};                      \
    __attribute__((constructor)) static void test_reg_##name_(void)                                \
    {                                                                                              \
        *test_tail = &test_case_##name_;                                                           \
        test_tail = &test_case_##name_.next;                                                       \
    }                                                                                              \
    static void test_##name_(void)

__attribute__((noreturn, unused)) static void test_fail(void)
{
    if (test_jmp)
        longjmp(*test_jmp, 1);
    fprintf(stderr, "check failed outside a test thread: %s\n", test_msg);
    _Exit(99);
}

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            snprintf(test_msg, sizeof(test_msg), "%s:%d: %s (errno %d)", __FILE__, __LINE__,       \
                     #cond, errno);                                                                \
            test_fail();                                                                           \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a_ = (long long)(a), check_b_ = (long long)(b);                            \
        if (check_a_ != check_b_) {                                                                \
            snprintf(test_msg, sizeof(test_msg), "%s:%d: %s == %s: %lld != %lld (errno %d)",       \
                     __FILE__, __LINE__, #a, #b, check_a_, check_b_, errno);                       \
            test_fail();                                                                           \
        }                                                                                          \
    } while (0)
/* Ends the test as neither passed nor failed: for what this build or machine cannot do; says why. */
#define SKIP(why)                                                                                  \
    do {                                                                                           \
        snprintf(test_msg, sizeof(test_msg), "%s", (why));                                         \
        if (test_jmp)                                                                              \
            longjmp(*test_jmp, 2);                                                                 \
    } while (0)
/* A call that must fail with this errno. */
#define CHECK_ERR(call, err)                                                                       \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long check_r_ = (long long)(call);                                                    \
        int check_e_ = errno;                                                                      \
        if (check_r_ != -1 || check_e_ != (err)) {                                                 \
            snprintf(test_msg, sizeof(test_msg), "%s:%d: %s: want -1/%s(%d), got %lld/%d",         \
                     __FILE__, __LINE__, #call, #err, (err), check_r_, check_e_);                  \
            test_fail();                                                                           \
        }                                                                                          \
    } while (0)
#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *check_a_ = (a), *check_b_ = (b);                                               \
        if (strcmp(check_a_, check_b_)) {                                                          \
            snprintf(test_msg, sizeof(test_msg), "%s:%d: \"%.200s\" != \"%.200s\"", __FILE__, __LINE__,    \
                     check_a_, check_b_);                                                          \
            test_fail();                                                                           \
        }                                                                                          \
    } while (0)

#ifndef TEST_NO_MAIN /* a program that only wants the checks */

/* 1 when the test passed, 0 when it failed, 2 when it was skipped. A function of its own, so that longjmp clobbers nobody's locals. */
__attribute__((noinline)) static int test_run(const struct test_case *t)
{
    jmp_buf jmp;
    test_jmp = &jmp;
    switch (setjmp(jmp)) {
    case 0:
        break;
    case 2:
        test_jmp = NULL;
        return 2;
    default:
        test_jmp = NULL;
        return 0;
    }
    t->fn();
    test_jmp = NULL;
    return 1;
}

int main(int argc, char **argv)
{
    int npassed = 0, nfailed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (const struct test_case *t = test_list; t; t = t->next) {
        int is_wanted = argc == 1;
        for (int i = 1; i < argc; i++)
            is_wanted |= !strcmp(argv[i], t->name);
        if (!is_wanted)
            continue;
        int r = test_run(t);
        if (r == 1) {
            printf("ok %s\n", t->name);
            npassed++;
        } else if (r == 2) {
            printf("skip %s: %s\n", t->name, test_msg);
        } else {
            printf("not ok %s: %s\n", t->name, test_msg);
            nfailed++;
        }
    }
    printf("%d passed, %d failed\n", npassed, nfailed);
    return nfailed != 0;
}

#endif

#endif
