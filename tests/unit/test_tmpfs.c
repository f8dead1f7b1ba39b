/* tmpfs: contents in all three forms, holes, limits, readdir, seals. */
#include <stdlib.h>
#include <unistd.h>

#include "abi/mm.h"
#include "vfs_env.h"

#define MB (1UL << 20)

static void fill(u8 *p, size_t n, u32 seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (u8)((i * 2654435761U + seed) >> 13);
}

/* Random writes, truncations, holes and promotions against a plain buffer. */
TEST(contents_against_model)
{
    enum { MAX = 5 << 20, OPS = 600 };
    u8 *model = calloc(1, MAX), *buf = malloc(MAX), *got = malloc(MAX);
    u64 size = 0;
    env_start();
    for (int round = 0; round < 3; round++) {
        int fd = e_open("f", LX_O_CREAT | LX_O_RDWR | LX_O_TRUNC, 0644);
        struct file *f = fd_get(fd);
        memset(model, 0, MAX);
        size = 0;
        srand((unsigned)round + 1);
        for (int n = 0; n < OPS; n++) {
            u64 scale = (u64[]){100, 5000, 40000, MAX - 300000}[rand() % 4];
            u64 off = (u64)rand() % scale, len = (u64)rand() % (scale / 4 + 1) + 1;
            len = MIN(len, 300000UL);
            switch (rand() % 8) {
            case 0:
                CHECK_EQ(vfs_ftruncate(f, (s64)off), 0);
                if (off < size)
                    memset(model + off, 0, size - off);
                size = off;
                break;
            case 1:
                CHECK_EQ(vfs_fallocate(f, LX_FALLOC_FL_PUNCH_HOLE | LX_FALLOC_FL_KEEP_SIZE,
                                       (s64)off, (s64)len),
                         0);
                if (off < size)
                    memset(model + off, 0, MIN(off + len, size) - off);
                break;
            case 2:
                CHECK_EQ(vfs_fallocate(f, 0, (s64)off, (s64)len), 0);
                size = MAX(size, off + len);
                break;
            default:
                fill(buf, len, (u32)rand());
                CHECK_EQ(file_pwrite(f, buf, len, (s64)off), (s64)len);
                memcpy(model + off, buf, len);
                size = MAX(size, off + len);
                break;
            }
            if (round == 2 && n == OPS / 2) {
                int host;
                u64 at;
                CHECK_EQ(f->ops->mmap(f, LX_PROT_READ, LX_MAP_SHARED), 0);
                CHECK_EQ(f->ops->host_fd(f, 0, 4096, false, &host, &at), 0);
                CHECK_EQ(write(host, "x", 1), -1); /* a read-only descriptor */
            }
            if (n % 20 == 0) {
                struct kstat st;
                CHECK_EQ(e_stat("f", &st), 0);
                CHECK_EQ(st.size, size);
                CHECK_EQ(file_pread(f, got, MAX, 0), (s64)size);
                CHECK(memcmp(got, model, size) == 0);
            }
        }
        file_put(f);
        e_close(fd);
    }
    env_stop();
    free(model);
    free(buf);
    free(got);
}

TEST(holes)
{
    struct kstat st;
    env_start();
    int fd = e_open("f", LX_O_CREAT | LX_O_RDWR, 0644);
    struct file *f = fd_get(fd);
    CHECK_EQ(vfs_ftruncate(f, 1L << 40), 0);
    CHECK_EQ(e_stat("f", &st), 0);
    CHECK_EQ(st.blocks, 0);
    CHECK_EQ(e_seek(fd, 0, LX_SEEK_DATA), -LX_ENXIO);
    CHECK_EQ(e_seek(fd, 5, LX_SEEK_HOLE), 5);
    CHECK_EQ(file_pwrite(f, "x", 1, 1L << 39), 1);
    CHECK_EQ(e_stat("f", &st), 0);
    CHECK_EQ(st.blocks, 8);
    CHECK_EQ(e_seek(fd, 0, LX_SEEK_DATA), 1L << 39);
    CHECK_EQ(e_seek(fd, 1L << 39, LX_SEEK_HOLE), (1L << 39) + 4096);
    CHECK_EQ(e_seek(fd, (1L << 39) + 4096, LX_SEEK_DATA), -LX_ENXIO);
    CHECK_EQ(vfs_ftruncate(f, 100), 0);
    CHECK_EQ(e_stat("f", &st), 0);
    CHECK_EQ(st.blocks, 0);
    CHECK_EQ(file_pwrite(f, "x", 1, INT64_MAX - 1), 1);
    CHECK_EQ(file_pwrite(f, "xy", 2, INT64_MAX - 1), -LX_EINVAL);
    CHECK_EQ(file_pwrite(f, "x", 1, INT64_MAX), -LX_EINVAL);
    file_put(f);
    env_stop();
}

TEST(size_limit)
{
    struct kstatfs sf;
    struct path p;
    static u8 buf[3 * 1048576];
    env_start();
    CHECK_EQ(e_mkdir("m", 0755), 0);
    CHECK_EQ(e_mount("none", "m", "tmpfs", 0, "size=1m,nr_inodes=5"), 0);
    int fd = e_open("m/f", LX_O_CREAT | LX_O_RDWR, 0644);
    CHECK_EQ(e_write(fd, buf, sizeof(buf)), (s64)MB);
    CHECK_EQ(e_write(fd, buf, 1), -LX_ENOSPC);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "m", 0, &p), 0);
    CHECK_EQ(vfs_statfs(&p, &sf), 0);
    CHECK_EQ(sf.blocks, 256);
    CHECK_EQ(sf.bfree, 0);
    CHECK_EQ(sf.type, LX_TMPFS_MAGIC);
    struct file *f = fd_get(fd);
    CHECK_EQ(vfs_ftruncate(f, 8192), 0);
    CHECK_EQ(vfs_fallocate(f, 0, 0, 2 * (s64)MB), -LX_ENOSPC);
    CHECK_EQ(vfs_fallocate(f, 0, 0, (s64)MB), 0);
    CHECK_EQ(f->ops->mmap(f, LX_PROT_READ, LX_MAP_SHARED), 0);
    file_put(f);
    CHECK_EQ(e_creat("m/g", "x"), -LX_ENOSPC);
    CHECK_EQ(e_mount(NULL, "m", NULL, LX_MS_REMOUNT, "size=2m"), 0);
    CHECK_EQ(e_creat("m/g", "x"), 0);
    CHECK_EQ(e_link("m/g", "m/h"), 0);
    CHECK_EQ(e_creat("m/i", ""), 0);
    CHECK_EQ(e_creat("m/j", ""), -LX_ENOSPC);
    CHECK_EQ(e_unlink("m/g"), 0);
    CHECK_EQ(e_creat("m/j", ""), 0);
    e_close(fd);
    CHECK_EQ(e_unlink("m/f"), 0);
    CHECK_EQ(e_unlink("m/h"), 0);
    CHECK_EQ(vfs_statfs(&p, &sf), 0);
    CHECK_EQ(sf.bfree, 512);
    CHECK_EQ(sf.ffree, 2);
    path_put(&p);
    env_stop();
}

TEST(readdir_positions)
{
    char name[16], buf[4096];
    env_start();
    CHECK_EQ(e_mkdir("d", 0755), 0);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        CHECK_EQ(e_creat(name, ""), 0);
    }
    CHECK_STR(e_ls("d"), "0 1 2 3 4 5 6 7 8 9");
    int fd = e_open("d", LX_O_DIRECTORY, 0);
    struct file *f = fd_get(fd);
    struct env_list l = {.ctx = {.emit = env_emit}, .buf = buf, .size = sizeof(buf), .max = 5};
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "0 1 2");
    s64 at = f->pos;
    CHECK_EQ(e_unlink("d/1"), 0);
    CHECK_EQ(e_unlink("d/3"), 0);
    CHECK_EQ(e_creat("d/new", ""), 0);
    l.max = -1;
    l.n = 0;
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "4 5 6 7 8 9 new");
    CHECK_EQ(e_seek(fd, at, LX_SEEK_SET), at);
    l.n = 0;
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "4 5 6 7 8 9 new");
    CHECK_EQ(e_seek(fd, 0, LX_SEEK_SET), 0);
    l.n = 0;
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "0 2 4 5 6 7 8 9 new");
    file_put(f);
    env_stop();
}

TEST(memfd_seals)
{
    struct file *f;
    char path[64];
    env_start();
    CHECK_EQ(tmpfs_memfd_new("x", LX_MFD_ALLOW_SEALING, &f), 0);
    CHECK(vfs_path_string(&f->path, NULL, path, sizeof(path)) > 0);
    CHECK_STR(path, "/memfd:x (deleted)");
    CHECK_EQ(file_pwrite(f, "hello", 5, 0), 5);
    CHECK_EQ(f->ops->fcntl(f, LX_F_ADD_SEALS, LX_F_SEAL_GROW), 0);
    CHECK_EQ(file_pwrite(f, "hello!", 6, 0), -LX_EPERM);
    CHECK_EQ(vfs_ftruncate(f, 6), -LX_EPERM);
    CHECK_EQ(vfs_ftruncate(f, 4), 0);
    CHECK_EQ(f->map.ops->vma_opened(&f->map, true), 0);
    CHECK_EQ(f->ops->fcntl(f, LX_F_ADD_SEALS, LX_F_SEAL_WRITE), -LX_EBUSY);
    f->map.ops->vma_closed(&f->map, true);
    CHECK_EQ(f->ops->fcntl(f, LX_F_ADD_SEALS, LX_F_SEAL_WRITE | LX_F_SEAL_SEAL), 0);
    CHECK_EQ(f->map.ops->vma_opened(&f->map, true), -LX_EPERM);
    CHECK_EQ(file_pwrite(f, "h", 1, 0), -LX_EPERM);
    CHECK_EQ(f->ops->fcntl(f, LX_F_ADD_SEALS, LX_F_SEAL_SHRINK), -LX_EPERM);
    CHECK_EQ(f->ops->fcntl(f, LX_F_GET_SEALS, 0),
             LX_F_SEAL_GROW | LX_F_SEAL_WRITE | LX_F_SEAL_SEAL);
    file_put(f);
    CHECK_EQ(tmpfs_memfd_new("y", 0, &f), 0);
    CHECK_EQ(f->ops->fcntl(f, LX_F_ADD_SEALS, LX_F_SEAL_GROW), -LX_EPERM);
    file_put(f);
    env_stop();
}
