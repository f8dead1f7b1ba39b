/* Names under random operations, against a model in memory of what each call gives and leaves. */
#include "fs_random.h"

#define MAX_INODES 160
#define NNAMES     5

struct obj {
    int type, nlink;     /* type 0: free */
    unsigned mode, mark; /* a file's contents are its mark */
    int parent;          /* of a directory */
    int child[NNAMES];   /* of a directory: 0: no such name */
};
static struct obj o[MAX_INODES];
static ino_t inos[MAX_INODES];
static const char *const names[NNAMES] = {"a", "b", "c", "d", "long-name-of-its-own"};

enum { DIRECTORY = 1, FILE_, LINK };

struct place {
    int dir, name, what; /* what: 0: nothing there */
    char path[1024];
};

static int new_obj(int type, unsigned mode)
{
    for (int i = 2; i < MAX_INODES; i++) {
        if (o[i].type)
            continue;
        o[i] = (struct obj){
            .type = type, .nlink = type == DIRECTORY ? 2 : 1, .mode = mode, .mark = rnd(1000000)};
        inos[i] = 0;
        return i;
    }
    return 0;
}

static size_t path_of(int dir, char *out)
{
    if (dir == 1)
        return (size_t)sprintf(out, "t");
    size_t n = path_of(o[dir].parent, out);
    for (int k = 0; k < NNAMES; k++)
        if (o[o[dir].parent].child[k] == dir)
            return n + (size_t)sprintf(out + n, "/%s", names[k]);
    abort();
}

static int depth_of(int dir)
{
    return dir == 1 ? 0 : 1 + depth_of(o[dir].parent);
}

static struct place somewhere(void)
{
    struct place p = {.dir = 1, .name = (int)rnd(NNAMES)};
    for (int i = 0; i < 400; i++) {
        int k = 1 + (int)rnd(MAX_INODES - 1);
        if (o[k].type == DIRECTORY && depth_of(k) < 6) {
            p.dir = k;
            break;
        }
    }
    p.what = o[p.dir].child[p.name];
    size_t n = path_of(p.dir, p.path);
    sprintf(p.path + n, "/%s", names[p.name]);
    return p;
}

static void put(const struct place *p, int what)
{
    o[p->dir].child[p->name] = what;
    if (what && o[what].type == DIRECTORY)
        o[what].parent = p->dir;
}

static int is_empty(int dir)
{
    for (int k = 0; k < NNAMES; k++)
        if (o[dir].child[k])
            return 0;
    return 1;
}

static int is_below(int d, int top)
{
    for (; d != 1; d = o[d].parent)
        if (d == top)
            return 1;
    return top == 1;
}

static void drop(int i)
{
    if (o[i].type == DIRECTORY || --o[i].nlink == 0)
        o[i].type = 0;
}

static void expect(int r, int err, const char *what, const struct place *p)
{
    int got = r < 0 ? errno : 0;
    if (got != err)
        fprintf(stderr, "%s %s: want %d\n", what, p->path, err);
    CHECK_EQ(got, err);
}

static void make_dir(void)
{
    struct place p = somewhere();
    unsigned mode = 0700 | rnd(64);
    int i = p.what ? 0 : new_obj(DIRECTORY, mode);
    if (!p.what && !i)
        return;
    expect(mkdir(p.path, mode), p.what ? EEXIST : 0, "mkdir", &p);
    if (i)
        put(&p, i);
}

static void make_file(void)
{
    struct place p = somewhere();
    int excl = rnd(2) ? O_EXCL : 0, type = o[p.what].type,
        err = !p.what             ? 0
              : excl              ? EEXIST
              : type == DIRECTORY ? EISDIR
                                  : 0;
    if (p.what && type == LINK)
        return;
    int i = p.what ? 0 : new_obj(FILE_, 0600 | rnd(64));
    if (!p.what && !i)
        return;
    int fd = open(p.path, O_CREAT | O_RDWR | excl, i ? o[i].mode : 0600);
    expect(fd, err, "create", &p);
    if (fd < 0)
        return;
    int w = i ? i : p.what;
    o[w].mark = rnd(1000000);
    CHECK_EQ(pwrite(fd, &o[w].mark, 4, 0), 4);
    CHECK_EQ(close(fd), 0);
    if (i)
        put(&p, i);
}

static void make_symlink(void)
{
    struct place p = somewhere();
    char text[32];
    int i = p.what ? 0 : new_obj(LINK, 0777);
    if (!p.what && !i)
        return;
    sprintf(text, "to-%u", i ? o[i].mark : 0);
    expect(symlink(text, p.path), p.what ? EEXIST : 0, "symlink", &p);
    if (i)
        put(&p, i);
}

static void make_link(void)
{
    struct place p = somewhere(), q = somewhere();
    int err = !p.what ? ENOENT : q.what ? EEXIST : o[p.what].type == DIRECTORY ? EPERM : 0;
    expect(link(p.path, q.path), err, "link", &p);
    if (err)
        return;
    o[p.what].nlink++;
    put(&q, p.what);
}

static void remove_name(void)
{
    struct place p = somewhere();
    int is_dir = o[p.what].type == DIRECTORY;
    int err = !p.what ? ENOENT : is_dir ? EISDIR : 0;
    expect(unlink(p.path), err, "unlink", &p);
    if (err)
        return;
    drop(p.what);
    put(&p, 0);
}

static void remove_dir(void)
{
    struct place p = somewhere();
    int err = !p.what                       ? ENOENT
              : o[p.what].type != DIRECTORY ? ENOTDIR
              : !is_empty(p.what)           ? ENOTEMPTY
                                            : 0;
    expect(rmdir(p.path), err, "rmdir", &p);
    if (err)
        return;
    drop(p.what);
    put(&p, 0);
}

static int rename_error(const struct place *p, const struct place *q, unsigned flags)
{
    int a = p->what, b = q->what, is_dir = o[a].type == DIRECTORY;
    if (!a)
        return ENOENT;
    if (flags == RENAME_EXCHANGE && !b)
        return ENOENT;
    if (flags == RENAME_NOREPLACE && b)
        return EEXIST;
    if (is_dir && is_below(q->dir, a))
        return EINVAL;
    if (b && o[b].type == DIRECTORY && is_below(p->dir, b))
        return flags == RENAME_EXCHANGE ? EINVAL : ENOTEMPTY;
    if (a == b || flags == RENAME_EXCHANGE || !b)
        return 0;
    if (is_dir && o[b].type != DIRECTORY)
        return ENOTDIR;
    if (!is_dir && o[b].type == DIRECTORY)
        return EISDIR;
    return is_dir && !is_empty(b) ? ENOTEMPTY : 0;
}

static void move(void)
{
    struct place p = somewhere(), q = somewhere();
    static const unsigned all[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    unsigned flags = all[rnd(5)];
    int err = rename_error(&p, &q, flags);
    char what[1100];
    snprintf(what, sizeof(what), "rename (%u) to %s", flags, q.path);
    expect(rename2(p.path, q.path, flags), err, what, &p);
    if (err || p.what == q.what)
        return;
    put(&q, p.what);
    put(&p, flags == RENAME_EXCHANGE ? q.what : 0);
    if (flags != RENAME_EXCHANGE && q.what)
        drop(q.what);
}

static void change_mode(void)
{
    struct place p = somewhere();
    if (p.what && o[p.what].type == LINK)
        return;
    unsigned mode = (p.what && o[p.what].type == DIRECTORY ? 0700 : 0) | rnd(512);
    expect(chmod(p.path, mode), p.what ? 0 : ENOENT, "chmod", &p);
    if (p.what)
        o[p.what].mode = mode;
}

static void check_obj(int i, const char *path)
{
    struct stat st;
    CHECK_EQ(lstat(path, &st), 0);
    CHECK_EQ(st.st_mode & S_IFMT, o[i].type == DIRECTORY ? S_IFDIR
                                  : o[i].type == LINK    ? S_IFLNK
                                                         : S_IFREG);
    CHECK_EQ(st.st_mode & 0777, o[i].mode);
    if (inos[i])
        CHECK_EQ(st.st_ino, inos[i]);
    inos[i] = st.st_ino;
    if (o[i].type == FILE_) {
        unsigned mark = 0;
        int fd = open(path, O_RDONLY);
        CHECK_EQ(read(fd, &mark, 4), 4);
        CHECK_EQ(mark, o[i].mark);
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(st.st_nlink, o[i].nlink);
    } else if (o[i].type == LINK) {
        char text[64] = "", want[64];
        snprintf(want, sizeof(want), "to-%u", o[i].mark);
        CHECK(readlink(path, text, sizeof(text) - 1) > 0);
        CHECK_STR(text, want);
    }
}

static void check_tree(int dir)
{
    char path[1024];
    size_t n = path_of(dir, path);
    int found = 0, want = 0;
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d));)
        found += e->d_name[0] != '.';
    closedir(d);
    for (int k = 0; k < NNAMES; k++) {
        int i = o[dir].child[k];
        sprintf(path + n, "/%s", names[k]);
        if (!i) {
            CHECK_ERR(access(path, F_OK), ENOENT);
            continue;
        }
        want++;
        check_obj(i, path);
        if (o[i].type == DIRECTORY)
            check_tree(i);
    }
    CHECK_EQ(found, want);
}

static void run(unsigned n)
{
    static void (*const ops[])(void) = {make_dir,     make_dir,  make_file,   make_file,
                                        make_symlink, make_link, remove_name, remove_dir,
                                        move,         move,      move,        change_mode};
    memset(o, 0, sizeof(o));
    memset(inos, 0, sizeof(inos));
    umask(0);
    o[1] = (struct obj){.type = DIRECTORY, .nlink = 2, .mode = 0755, .parent = 1};
    CHECK_EQ(mkdir("t", 0755), 0);
    for (unsigned i = 1; i <= n; i++) {
        ops[rnd(sizeof(ops) / sizeof(ops[0]))]();
        if (i % 500 == 0)
            check_tree(1);
    }
    CHECK_EQ(system("rm -rf t"), 0);
    CHECK_ERR(access("t", F_OK), ENOENT);
}

TEST(here)
{
    rnd_start(1);
    on(HERE, run, 8000);
}
TEST(tmpfs)
{
    rnd_start(2);
    on(TMPFS, run, 8000);
}
TEST(overlay)
{
    rnd_start(3);
    on(OVERLAY, run, 8000);
}
