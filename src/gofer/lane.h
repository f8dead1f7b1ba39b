/*
 * A lane: one connection, one thread, one request at a time. Handlers of
 * requests read l->req (decoded, its fields within their bounds) and fill
 * l->resp; they return 0 or -LX_E*, which becomes the answer's err.
 */
#ifndef GOFER_LANE_H
#define GOFER_LANE_H

#include "gofer/node.h"
#include "wire/gofer_proto.h"

#define LIST_SIZE  (GP_MAX_MSG - GP_RESP_OVERHEAD)
#define DENTS_SIZE 32768U
#define LINK_SPACE (GP_MAX_WALK * 1024U)

struct lane {
    int fd;
    int fds[GP_MAX_FDS]; /* to be donated with the answer and closed here */
    u32 nfds;
    struct gp_req req;
    struct gp_resp resp;
    u32 links_size; /* used of links */
    u8 in[GP_MAX_MSG], out[GP_MAX_MSG];
    char list[LIST_SIZE]; /* listing, link target or attribute value of the answer */
    char dents[DENTS_SIZE] __attribute__((aligned(8)));
    char links[LINK_SPACE];
};

typedef int (*gofer_op_fn)(struct lane *l);

/* An object that a request names: a child of a directory node, or a node itself. */
struct obj {
    struct node *n; /* counted */
    const struct attach *a;
    int fd;           /* n's, borrowed until gobj_done */
    const char *name; /* child of n; NULL: n itself */
};
#define OBJ_NONE                                                                                   \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* Looks up (id, name). gobj_done is due in any case. */
int gobj_get(u64 id, struct wire_bytes name, struct obj *ret) must_check;
/* As gobj_get, and refuses read-only exports with EROFS. */
int gobj_get_rw(u64 id, struct wire_bytes name, struct obj *ret) must_check;
void gobj_done(struct obj *o);

/* Attributes as the Sentry gets them; *ret_masked: contents are withheld. */
int gobj_stat(const struct obj *o, struct statx *ret_sx, struct gp_attr *ret) must_check;
/* Another name in the same directory. */
int gobj_stat_child(const struct obj *dir, const char *name, struct statx *ret_sx,
                    struct gp_attr *ret) must_check;
/* The same of an object that has been opened as fd. */
int gobj_stat_opened(const struct obj *o, int fd, struct statx *ret_sx,
                     struct gp_attr *ret) must_check;
/* An fd with O_* flags of a regular file or a directory; O_PATH of anything. Caller closes it. */
int gobj_open(const struct obj *o, u64 flags) must_check;
/* Attributes of an fd that was just made or changed. */
int gofer_fd_attr(int fd, struct gp_attr *ret) must_check;

extern int gofer_proc_self_fd; /* /proc/self/fd, or -1 */
/* Path of fd below gofer_proc_self_fd. */
void gofer_fd_name(int fd, char ret[16]);

int serve_unlink(struct lane *l);
int serve_rename(struct lane *l);
int serve_create(struct lane *l);
int serve_tmpfile(struct lane *l);
int serve_mkdir(struct lane *l);
int serve_mknod(struct lane *l);
int serve_symlink(struct lane *l);
int serve_link(struct lane *l);
int serve_setattr(struct lane *l);
int serve_getxattr(struct lane *l);
int serve_setxattr(struct lane *l);
int serve_listxattr(struct lane *l);
int serve_removexattr(struct lane *l);
int serve_readdir(struct lane *l);
int serve_connect(struct lane *l);

/* Decodes, serves, encodes. The size of the answer in l->out; 0: hang up. */
size_t gofer_serve(struct lane *l, size_t size);

#endif
