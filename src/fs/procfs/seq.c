/* Text for reads: a growing buffer, and the file operations that serve reads from it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/proc_int.h"
#include "vfs/special.h"

#define SEQ_MAX (8UL << 20) /* of one chunk: an entry that would be longer is our bug */

static bool reserve(struct seq *s, size_t extra)
{
    size_t want = s->size + extra;
    if (want <= s->room)
        return true;
    size_t room = MAX(s->room * 2, 1024UL);
    while (room < want)
        room *= 2;
    char *p = want <= SEQ_MAX ? realloc(s->buf, room) : NULL;
    if (!p) {
        s->is_failed = true;
        return false;
    }
    s->buf = p;
    s->room = room;
    return true;
}

void seq_write(struct seq *s, const void *bytes, size_t size)
{
    if (!reserve(s, size))
        return;
    memcpy(s->buf + s->size, bytes, size);
    s->size += size;
}

void seq_puts(struct seq *s, const char *text)
{
    seq_write(s, text, strlen(text));
}

void seq_putc(struct seq *s, char c)
{
    seq_write(s, &c, 1);
}

void seq_printf(struct seq *s, const char *fmt, ...)
{
    va_list ap;
    for (size_t room = 256;; room *= 2) {
        if (!reserve(s, room))
            return;
        va_start(ap, fmt);
        int n = vsnprintf(s->buf + s->size, room, fmt, ap);
        va_end(ap);
        if (n < 0)
            return;
        if ((size_t)n < room) {
            s->size += (size_t)n;
            return;
        }
    }
}

void seq_escape(struct seq *s, const char *text, const char *esc)
{
    for (; *text; text++) {
        if (strchr(esc, *text))
            seq_printf(s, "\\%03o", (unsigned char)*text);
        else
            seq_putc(s, *text);
    }
}

bool seq_is_full(const struct seq *s)
{
    return s->size >= SEQ_CHUNK || s->is_failed;
}

void seq_done(struct seq *s)
{
    free(s->buf);
    *s = (struct seq){.user_ns = s->user_ns};
}

/* ---- text files ----------------------------------------------------------------------------- */

static int check_access(const struct pinode *pi, u32 flags)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    int r = ptrace_may_access(t, flags & PN_ATTACH);
    task_put(t);
    return r < 0 ? -LX_EACCES : 0;
}

static int text_open(struct inode *i, struct file *f)
{
    const struct pinode *pi = pinode_of(i);
    u32 flags = pi->node->flags;
    if (flags & (PN_READ_MM | PN_ATTACH)) {
        int r = check_access(pi, flags);
        if (r < 0)
            return r;
    }
    struct pfile *pf = calloc(1, sizeof(*pf));
    if (!pf)
        return -LX_ENOMEM;
    mutex_init(&pf->lock, "proc_text");
    if (pi->pid) {
        struct task *t = pinode_task(pi);
        if (t) {
            pf->exec_seq = t->tg->exec_seq;
            if (flags & PN_USER_NS) {
                const struct cred *c = task_get_cred(t);
                pf->seq.user_ns = c->user_ns;
                user_ns_get(c->user_ns);
                cred_put(c);
            }
            task_put(t);
        }
    }
    f->priv = pf;
    return 0;
}

static void text_release(struct file *f)
{
    struct pfile *pf = f->priv;
    if (!pf)
        return;
    if (pf->seq.user_ns)
        user_ns_put(pf->seq.user_ns);
    seq_done(&pf->seq);
    free(pf);
}

/* True when the process runs the program that it ran at open, or none any more: show says so. */
static bool is_same_program(const struct pfile *pf, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    bool is_same = !t || t->tg->exec_seq == pf->exec_seq;
    if (t)
        task_put(t);
    return is_same;
}

/* Prints the next chunk over the last one. */
static int next_chunk(struct pfile *pf, const struct pinode *pi) REQUIRES(pf->lock)
{
    struct seq *s = &pf->seq;
    u64 cursor = s->cursor;
    pf->base += s->size;
    s->size = 0;
    s->is_failed = false;
    int r = 0;
    if ((pi->node->flags & PN_READ_MM) && !is_same_program(pf, pi))
        s->cursor = SEQ_END;
    else
        r = pi->node->show(s, pi);
    if (s->is_failed)
        r = -LX_ENOMEM;
    if (r == 0 && s->cursor == cursor)
        s->cursor = SEQ_END; /* a show without a cursor prints all at once */
    return r;
}

static int restart(struct pfile *pf, const struct pinode *pi) REQUIRES(pf->lock)
{
    pf->seq.size = 0;
    pf->seq.cursor = 0;
    pf->base = 0;
    pf->is_valid = false;
    int r = next_chunk(pf, pi);
    pf->is_valid = r == 0;
    return r;
}

static s64 text_read(struct file *f, struct uio *to, s64 *off)
{
    struct pfile *pf = f->priv;
    const struct pinode *pi = pinode_of(f->inode);
    u64 at = (u64)*off;
    int r = 0;
    if (!pi->node->show)
        return -LX_EINVAL;
    if (pi->node->flags & PN_READ_CHECK) {
        r = check_access(pi, 0);
        if (r < 0)
            return r;
    }
    MUTEX_GUARD(&pf->lock);
    if (at == 0 || at < pf->base || !pf->is_valid)
        r = restart(pf, pi);
    while (r == 0 && at >= pf->base + pf->seq.size && pf->seq.cursor != SEQ_END)
        r = next_chunk(pf, pi);
    if (r < 0) {
        pf->is_valid = false;
        return r;
    }
    if (at >= pf->base + pf->seq.size) {
        if (at > 0) { /* read to the end: nobody will want it again soon */
            seq_done(&pf->seq);
            pf->is_valid = false;
        }
        return 0;
    }
    s64 n = uio_copy_to(to, pf->seq.buf + (at - pf->base), pf->seq.size - (at - pf->base));
    if (n > 0)
        *off += n;
    return n;
}

static s64 text_write(struct file *f, struct uio *from, s64 *off)
{
    const struct pinode *pi = pinode_of(f->inode);
    char buf[PAGE_SIZE + 1];
    if (!pi->node->write)
        return -LX_EINVAL;
    s64 n = uio_copy_from(from, buf, MIN(from->left, PAGE_SIZE));
    if (n < 0)
        return n;
    buf[n] = 0;
    s64 r = pi->node->write(f, pi, buf, (size_t)n, *off);
    if (r > 0)
        *off += r;
    return r;
}

const struct file_ops ptext_fops = {
    .open = text_open,
    .read = text_read,
    .write = text_write,
    .seek = cursor_seek,
    .release = text_release,
};

/* ---- numbers -------------------------------------------------------------------------------- */

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t' || *s == '\n')
        s++;
    return s;
}

bool parse_s64(const char *text, s64 *ret)
{
    char *end;
    text = skip_space(text);
    if (*text == 0)
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 0);
    if (errno || end == text || *skip_space(end) != 0)
        return false;
    *ret = v;
    return true;
}

bool parse_u64(const char *text, u64 *ret)
{
    char *end;
    text = skip_space(text);
    if (*text == 0 || *text == '-')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (errno || end == text || *skip_space(end) != 0)
        return false;
    *ret = v;
    return true;
}

s64 parse_pid(const char *name, size_t size)
{
    s64 v = 0;
    if (size == 0 || size > 10 || (name[0] == '0' && size > 1))
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        v = v * 10 + (name[i] - '0');
    }
    return v <= INT32_MAX ? v : -1;
}
