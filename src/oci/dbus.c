/* See dbus.h. */
#include "oci/dbus.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_MESSAGE (128U * 1024)
#define MAX_HEADER  1024U
#define MAX_KEPT    64 /* signals that came while something else was awaited */
#define CALL_MS     25000

enum message_type { MSG_CALL = 1, MSG_RETURN, MSG_ERROR, MSG_SIGNAL };
enum header_field {
    FIELD_PATH = 1,
    FIELD_IFACE,
    FIELD_MEMBER,
    FIELD_ERROR,
    FIELD_REPLY,
    FIELD_DEST,
    FIELD_SENDER,
    FIELD_SIG
};

struct message {
    u8 *data;
    u32 size, body; /* body: where it begins */
    u32 type, reply_to;
    const char *member, *error; /* in data; "" : none */
};

struct dbus {
    int fd;
    u32 serial;
    u8 *out;  /* MAX_HEADER of room for the header, then the body */
    u32 size; /* of the body */
    bool is_full;
    struct message in; /* the last one */
    u32 at;            /* in it, for the readers */
    struct message kept[MAX_KEPT];
    u32 nkept;
    char error[128];
};

/* ---- building ------------------------------------------------------------------------------- */

struct buf {
    u8 *p;
    u32 size, room;
    bool is_full;
};

static void add(struct buf *o, const void *data, u32 n)
{
    if (o->is_full || n > o->room - o->size) {
        o->is_full = true;
        return;
    }
    memcpy(o->p + o->size, data, n);
    o->size += n;
}

static void align(struct buf *o, u32 to)
{
    static const u8 zeroes[8];
    add(o, zeroes, (to - o->size % to) % to);
}

static void add_u32(struct buf *o, u32 v)
{
    align(o, 4);
    add(o, &v, 4);
}

static void add_str(struct buf *o, const char *s)
{
    u32 n = (u32)strlen(s);
    add_u32(o, n);
    add(o, s, n + 1);
}

static void add_signature(struct buf *o, const char *s)
{
    u8 n = (u8)strlen(s);
    add(o, &n, 1);
    add(o, s, n + 1U);
}

static struct buf body_of(struct dbus *b)
{
    return (struct buf){b->out + MAX_HEADER, b->size, MAX_MESSAGE - MAX_HEADER, b->is_full};
}

static void body_is(struct dbus *b, const struct buf *o)
{
    b->size = o->size;
    b->is_full = o->is_full;
}

void dbus_body_start(struct dbus *b)
{
    b->size = 0;
    b->is_full = false;
}

void dbus_add_u32(struct dbus *b, u32 v)
{
    struct buf o = body_of(b);
    add_u32(&o, v);
    body_is(b, &o);
}

void dbus_add_u64(struct dbus *b, u64 v)
{
    struct buf o = body_of(b);
    align(&o, 8);
    add(&o, &v, 8);
    body_is(b, &o);
}

void dbus_add_str(struct dbus *b, const char *s)
{
    struct buf o = body_of(b);
    add_str(&o, s);
    body_is(b, &o);
}

void dbus_add_signature(struct dbus *b, const char *s)
{
    struct buf o = body_of(b);
    add_signature(&o, s);
    body_is(b, &o);
}

void dbus_struct_begin(struct dbus *b)
{
    struct buf o = body_of(b);
    align(&o, 8);
    body_is(b, &o);
}

u32 dbus_array_begin(struct dbus *b, u32 element_align)
{
    struct buf o = body_of(b);
    add_u32(&o, 0);
    u32 mark = o.size; /* the padding before the first element does not count */
    align(&o, element_align);
    body_is(b, &o);
    return mark << 4 | element_align;
}

void dbus_array_end(struct dbus *b, u32 mark)
{
    u32 after = mark >> 4, element_align = mark & 15;
    u32 first = (after + element_align - 1) / element_align * element_align;
    if (b->is_full || b->size < first)
        return;
    u32 n = b->size - first;
    memcpy(b->out + MAX_HEADER + after - 4, &n, 4);
}

static void add_field(struct buf *o, enum header_field field, const char *signature,
                      const char *value)
{
    u8 code = (u8)field;
    align(o, 8);
    add(o, &code, 1);
    add_signature(o, signature);
    if (field == FIELD_SIG)
        add_signature(o, value);
    else
        add_str(o, value);
}

/* The header goes right before the body, which begins at a multiple of 8: *ret_start is where. */
static bool build_header(struct dbus *b, const char *dest, const char *path, const char *interface,
                         const char *member, const char *signature, u32 *ret_start)
{
    u8 head[MAX_HEADER];
    struct buf o = {head, 0, sizeof(head), false};
    const u8 fixed[4] = {'l', MSG_CALL, 0, 1};
    add(&o, fixed, sizeof(fixed));
    add_u32(&o, b->size);
    add_u32(&o, ++b->serial);
    add_u32(&o, 0);
    add_field(&o, FIELD_PATH, "o", path);
    add_field(&o, FIELD_IFACE, "s", interface);
    add_field(&o, FIELD_MEMBER, "s", member);
    add_field(&o, FIELD_DEST, "s", dest);
    if (*signature)
        add_field(&o, FIELD_SIG, "g", signature);
    if (o.is_full || b->is_full)
        return false;
    u32 n = o.size - 16;
    memcpy(head + 12, &n, 4);
    align(&o, 8);
    if (o.is_full)
        return false;
    *ret_start = MAX_HEADER - o.size;
    memcpy(b->out + *ret_start, head, o.size);
    return true;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static s64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (s64)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int receive_all(int fd, void *to, u32 size, s64 deadline, struct err *e)
{
    u8 *p = to;
    while (size > 0) {
        struct pollfd pfd = {fd, POLLIN, 0};
        s64 left = deadline - now_ms();
        int r = left <= 0 ? 0 : poll(&pfd, 1, (int)left);
        if (r < 0 && errno == EINTR)
            continue;
        if (r == 0)
            return err_set(e, "systemd does not answer on its bus");
        ssize_t n = r < 0 ? -1 : recv(fd, p, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "cannot read from systemd's bus");
        if (n == 0)
            return err_set(e, "systemd's bus has hung up");
        p += n;
        size -= (u32)n;
    }
    return 0;
}

struct reader {
    const u8 *p;
    u32 size, at;
};

static bool read_u32(struct reader *r, u32 *ret)
{
    u32 at = (r->at + 3) & ~3U;
    if (at > r->size || r->size - at < 4)
        return false;
    memcpy(ret, r->p + at, 4);
    r->at = at + 4;
    return true;
}

static bool read_text(struct reader *r, u32 n, const char **ret)
{
    if (r->size - r->at <= n || r->p[r->at + n] != 0 || memchr(r->p + r->at, 0, n))
        return false;
    *ret = (const char *)r->p + r->at;
    r->at += n + 1;
    return true;
}

static bool read_str(struct reader *r, const char **ret)
{
    u32 n;
    return read_u32(r, &n) && read_text(r, n, ret);
}

static bool read_signature(struct reader *r, const char **ret)
{
    if (r->at >= r->size)
        return false;
    u8 n = r->p[r->at++];
    return read_text(r, n, ret);
}

static bool read_fields(struct message *m, u32 size)
{
    struct reader r = {m->data, 16 + size, 16};
    m->member = m->error = "";
    while (r.at < r.size) {
        const char *signature, *text;
        r.at = (r.at + 7) & ~7U;
        if (r.at >= r.size)
            return false;
        u8 code = r.p[r.at++];
        if (!read_signature(&r, &signature))
            return false;
        if (!strcmp(signature, "u")) {
            u32 v;
            if (!read_u32(&r, &v))
                return false;
            if (code == FIELD_REPLY)
                m->reply_to = v;
        } else if (!strcmp(signature, "s") || !strcmp(signature, "o")) {
            if (!read_str(&r, &text))
                return false;
            if (code == FIELD_MEMBER)
                m->member = text;
            else if (code == FIELD_ERROR)
                m->error = text;
        } else if (strcmp(signature, "g") || !read_signature(&r, &text)) {
            return false;
        }
    }
    return true;
}

static int receive(struct dbus *b, s64 deadline, struct message *ret, struct err *e)
{
    u8 fixed[16];
    u32 body, fields;
    struct message m = {0};
    if (receive_all(b->fd, fixed, sizeof(fixed), deadline, e) < 0)
        return -1;
    memcpy(&body, fixed + 4, 4);
    memcpy(&fields, fixed + 12, 4);
    if (fixed[0] != 'l' || fixed[3] != 1 || body > MAX_MESSAGE || fields > MAX_MESSAGE)
        return err_set(e, "systemd's bus speaks a D-Bus that is not understood here");
    m.body = 16 + ((fields + 7) & ~7U);
    m.size = m.body + body;
    m.type = fixed[1];
    m.data = malloc(m.size);
    if (!m.data)
        return err_set(e, "out of memory");
    memcpy(m.data, fixed, sizeof(fixed));
    int r = receive_all(b->fd, m.data + 16, m.size - 16, deadline, e);
    if (r == 0 && !read_fields(&m, fields))
        r = err_set(e, "systemd's bus sent a message that is malformed");
    if (r < 0)
        free(m.data);
    else
        *ret = m;
    return r;
}

static void keep(struct dbus *b, struct message *m)
{
    if (m->type == MSG_SIGNAL && b->nkept < MAX_KEPT)
        b->kept[b->nkept++] = *m;
    else
        free(m->data);
}

static void is_last(struct dbus *b, const struct message *m)
{
    free(b->in.data);
    b->in = *m;
    b->at = m->body;
}

static struct reader reader_of(const struct dbus *b)
{
    return (struct reader){b->in.data, b->in.size, b->at};
}

bool dbus_get_str(struct dbus *b, const char **ret)
{
    struct reader r = reader_of(b);
    if (!b->in.data || !read_str(&r, ret))
        return false;
    b->at = r.at;
    return true;
}

bool dbus_get_u32(struct dbus *b, u32 *ret)
{
    struct reader r = reader_of(b);
    if (!b->in.data || !read_u32(&r, ret))
        return false;
    b->at = r.at;
    return true;
}

bool dbus_get_variant_str(struct dbus *b, const char **ret)
{
    struct reader r = reader_of(b);
    const char *signature;
    if (!b->in.data || !read_signature(&r, &signature) || strcmp(signature, "s"))
        return false;
    b->at = r.at;
    return dbus_get_str(b, ret);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static int send_all(int fd, const void *data, u32 size, struct err *e)
{
    const u8 *p = data;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "cannot write to systemd's bus");
        p += n;
        size -= (u32)n;
    }
    return 0;
}

int dbus_call(struct dbus *b, const char *path, const char *interface, const char *member,
              const char *signature, struct err *e)
{
    bool is_driver = !strcmp(interface, "org.freedesktop.DBus");
    u32 start;
    struct message m;
    b->error[0] = 0;
    if (!build_header(b, is_driver ? "org.freedesktop.DBus" : "org.freedesktop.systemd1", path,
                      interface, member, signature, &start))
        return err_set(e, "the message to systemd is too long");
    u32 serial = b->serial;
    if (send_all(b->fd, b->out + start, MAX_HEADER - start + b->size, e) < 0)
        return -1;
    s64 deadline = now_ms() + CALL_MS;
    for (;;) {
        if (receive(b, deadline, &m, e) < 0)
            return -1;
        if ((m.type == MSG_RETURN || m.type == MSG_ERROR) && m.reply_to == serial)
            break;
        keep(b, &m);
    }
    is_last(b, &m);
    if (m.type == MSG_RETURN)
        return 0;
    const char *text = "";
    snprintf(b->error, sizeof(b->error), "%.127s", m.error);
    if (!dbus_get_str(b, &text))
        text = m.error;
    return err_set(e, "systemd refuses %s: %.300s", member, text);
}

const char *dbus_error_name(const struct dbus *b)
{
    return b->error;
}

int dbus_await_signal(struct dbus *b, const char *member, int timeout_ms, struct err *e)
{
    s64 deadline = now_ms() + timeout_ms;
    struct message m;
    for (u32 i = 0; i < b->nkept; i++) {
        if (strcmp(b->kept[i].member, member))
            continue;
        is_last(b, &b->kept[i]);
        memmove(&b->kept[i], &b->kept[i + 1], (--b->nkept - i) * sizeof(b->kept[0]));
        return 0;
    }
    for (;;) {
        if (receive(b, deadline, &m, e) < 0)
            return -1;
        if (m.type == MSG_SIGNAL && !strcmp(m.member, member))
            break;
        free(m.data);
    }
    is_last(b, &m);
    return 0;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* One of "unix:path=/a,guid=…": a stream socket, or -1. */
static int connect_to(const char *address, size_t size)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    static const char path[] = "unix:path=", abstract[] = "unix:abstract=";
    bool is_abstract =
        size > sizeof(abstract) - 1 && !memcmp(address, abstract, sizeof(abstract) - 1);
    if (!is_abstract && (size <= sizeof(path) - 1 || memcmp(address, path, sizeof(path) - 1)))
        return -1;
    size_t skip = is_abstract ? sizeof(abstract) - 1 : sizeof(path) - 1;
    const char *name = address + skip;
    size_t n = 0;
    while (n < size - skip && name[n] != ',')
        n++;
    if (n == 0 || n + 2 > sizeof(sa.sun_path) || memchr(name, '%', n))
        return -1;
    memcpy(sa.sun_path + is_abstract, name, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/*
 * Who we are is what the socket says: in a user namespace we would not know it. All in one, as
 * sd-bus has it: a server of its that reads BEGIN and a message at once waits for more before it
 * looks at that.
 */
static int authenticate(int fd, struct err *e)
{
    static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
    char line[256];
    s64 deadline = now_ms() + CALL_MS;
    if (send_all(fd, hello, sizeof(hello) - 1, e) < 0)
        return -1;
    for (int nlines = 0; nlines < 2; nlines++) {
        u32 n = 0;
        do {
            if (n == sizeof(line) - 1 || receive_all(fd, line + n, 1, deadline, e) < 0)
                return err_prefix(e, "cannot log in to systemd's bus");
        } while (line[n++] != '\n');
        line[n] = 0;
        if (!strncmp(line, "OK", 2))
            return 0;
        if (strncmp(line, "DATA", 4))
            break;
    }
    return err_set(e, "systemd's bus does not let us in");
}

int dbus_open(const char *addresses, bool is_bus, struct dbus **ret, struct err *e)
{
    struct dbus *b = calloc(1, sizeof(*b));
    if (!b || !(b->out = malloc(MAX_MESSAGE))) {
        free(b);
        return err_set(e, "out of memory");
    }
    b->fd = -1;
    for (const char *a = addresses; b->fd < 0 && *a;) {
        size_t n = strcspn(a, ";");
        b->fd = connect_to(a, n);
        a += n + (a[n] != 0);
    }
    int r =
        b->fd < 0 ? err_set(e, "nobody answers at '%.200s'", addresses) : authenticate(b->fd, e);
    if (b->fd < 0 && e)
        e->status = ENOENT;
    dbus_body_start(b);
    if (r == 0 && is_bus)
        r = dbus_call(b, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", e);
    if (r < 0)
        dbus_close(b);
    else
        *ret = b;
    return r;
}

void dbus_close(struct dbus *b)
{
    if (!b)
        return;
    for (u32 i = 0; i < b->nkept; i++)
        free(b->kept[i].data);
    free(b->in.data);
    free(b->out);
    if (b->fd >= 0)
        close(b->fd);
    free(b);
}
