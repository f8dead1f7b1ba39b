/*
 * Listings that are kept, and what is foreseen from them.
 *
 * Two patterns cost a round trip for each object otherwise. A tree walk (find,
 * du, git status) lists a directory, then its subdirectories: once two in a row were children of
 * directories just listed, the gofer is asked to send the listings that follow along, up to a
 * window that doubles while they are used and starts over when they are not. A program that asks
 * for the attributes of what it has listed (ls -l) makes lookups that walk along a listing: the
 * second in a row brings its neighbours' attributes along, and after a few such directories
 * listings come with all attributes at once, until too few of them are asked for. Both only in
 * exclusive mode, and a listing older than any change of ours is not believed.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/gofer_priv.h"

#define AHEAD_MIN 4096U
#define AHEAD_MAX 60000U

void gofer_list_init(struct gofer_sb *s)
{
    mutex_init(&s->list_lock, "gofer_list");
    list_init(&s->list_lru);
    for (u32 i = 0; i < GOFER_LIST_BUCKETS; i++)
        list_init(&s->list_buckets[i]);
    s->ahead_size = AHEAD_MIN;
}

void gofer_list_put(struct gofer_list *l)
{
    if (l && ref_put(&l->ref))
        free(l);
}

static struct list *bucket_of(struct gofer_sb *s, u64 dev, u64 ino)
{
    u64 h = (ino ^ dev * 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
    return &s->list_buckets[(h >> 40) % GOFER_LIST_BUCKETS];
}

/* Takes l out; its node id is returned for the caller to give back after the lock. */
static u64 take_out(struct gofer_sb *s, struct gofer_list *l)
{
    u64 node = l->node;
    l->node = 0;
    list_del(&l->bucket);
    list_del(&l->lru);
    s->list_bytes -= l->size;
    if (l->was_ahead) /* fetched for nothing */
        s->ahead_size = MAX(s->ahead_size / 2, AHEAD_MIN);
    gofer_list_put(l);
    return node;
}

static struct gofer_list *find_locked(struct gofer_sb *s, u64 dev, u64 ino)
{
    struct gofer_list *l;
    list_for_each (l, bucket_of(s, dev, ino), bucket) {
        if (l->hino == ino && l->hdev == dev)
            return l;
    }
    return NULL;
}

static bool is_fresh(struct gofer_sb *s, const struct gofer_list *l)
{
    return l->seq == atomic_load_explicit(&s->change_seq, memory_order_relaxed);
}

struct gofer_list *gofer_list_find(struct gofer_sb *s, struct gofer_inode *gi)
{
    u64 node = 0;
    mutex_lock(&s->list_lock);
    struct gofer_list *l = find_locked(s, gi->hdev, gi->hino);
    bool is_good = l && l->is_whole && is_fresh(s, l);
    if (is_good) {
        node = l->node;
        l->node = 0;
        if (l->was_ahead) {
            l->was_ahead = false;
            s->ahead_size = MIN(s->ahead_size + s->ahead_size / 4, AHEAD_MAX);
        }
        list_del(&l->lru);
        list_add_tail(&s->list_lru, &l->lru);
        ref_get(&l->ref);
    } else if (l) {
        node = take_out(s, l);
        l = NULL;
    }
    mutex_unlock(&s->list_lock);
    if (is_good)
        gofer_give_node(gi, node);
    else
        gofer_forget(s->conn, node);
    return l;
}

/* Puts l among those kept, in place of an older one; makes room. Takes a reference. */
static void keep(struct gofer_sb *s, struct gofer_list *l)
{
    struct gofer_list *old;
    u64 node;
    mutex_lock(&s->list_lock);
    old = find_locked(s, l->hdev, l->hino);
    node = old ? take_out(s, old) : 0;
    ref_get(&l->ref);
    list_add_head(bucket_of(s, l->hdev, l->hino), &l->bucket);
    list_add_tail(&s->list_lru, &l->lru);
    s->list_bytes += l->size;
    mutex_unlock(&s->list_lock);
    gofer_forget(s->conn, node);
    for (;;) {
        node = 0;
        mutex_lock(&s->list_lock);
        bool is_full = s->list_bytes > GOFER_LIST_MAX;
        if (is_full)
            node = take_out(s, list_first(&s->list_lru, struct gofer_list, lru));
        mutex_unlock(&s->list_lock);
        if (!is_full)
            return;
        gofer_forget(s->conn, node);
    }
}

static struct gofer_list *list_alloc(u64 dev, u64 ino, u32 seq, struct wire_bytes data)
{
    struct gofer_list *l = malloc(sizeof(*l) + data.size);
    if (!l)
        return NULL;
    *l = (struct gofer_list){.hdev = dev, .hino = ino, .seq = seq, .size = data.size};
    ref_init(&l->ref);
    list_init(&l->bucket);
    list_init(&l->lru);
    memcpy(l->data, data.p, data.size);
    return l;
}

struct gofer_list *gofer_list_new(struct gofer_sb *s, const struct gofer_inode *gi, u32 seq,
                                  const struct gp_resp *resp, bool is_whole)
{
    struct gofer_list *l = list_alloc(gi->hdev, gi->hino, seq, resp->data);
    if (!l)
        return NULL;
    l->is_whole = is_whole;
    if (!gofer_is_shared(s))
        keep(s, l);
    struct wire_in in;
    struct gp_section sec;
    struct wire_bytes entries;
    wire_in_init(&in, resp->more.p, resp->more.size);
    while (gp_section_next(&in, &sec, &entries) == 1) {
        struct gofer_list *sub = list_alloc(sec.dev, sec.ino, seq, entries);
        if (!sub) {
            gofer_forget(s->conn, sec.node);
            continue;
        }
        sub->node = sec.node;
        sub->is_whole = sub->was_ahead = true;
        keep(s, sub);
        gofer_list_put(sub);
    }
    return l;
}

void gofer_list_done(struct gofer_sb *s)
{
    struct gofer_list *l;
    while ((l = list_first(&s->list_lru, struct gofer_list, lru)))
        gofer_forget(s->conn, take_out(s, l));
}

/* ---- foresight ----------------------------------------------------------------------------- */

#define WALK_MEMORY 4096U /* listings for which a parent counts as just listed */

u32 gofer_list_ahead(struct gofer_sb *s, struct gofer_inode *gi)
{
    mutex_lock(&gi->lock);
    struct inode *parent = gi->dir;
    if (parent)
        inode_get(parent);
    mutex_unlock(&gi->lock);
    mutex_lock(&s->list_lock);
    u32 at = parent ? gofer_of(parent)->listed_at : 0;
    s->nwalked = at != 0 && s->nlisted - at < WALK_MEMORY ? s->nwalked + 1 : 0;
    gi->listed_at = ++s->nlisted;
    u32 size = s->nwalked >= 2 ? s->ahead_size : 0;
    mutex_unlock(&s->list_lock);
    inode_put(parent);
    return size;
}

#define FOLLOWED_MIN 3U
#define PRIMED_TRIAL 512U

u32 gofer_list_wanted(struct gofer_sb *s)
{
    MUTEX_GUARD(&s->list_lock);
    if (s->nprimed >= PRIMED_TRIAL) {
        if (atomic_exchange(&s->nused, 0) < s->nprimed / 4)
            s->nfollowed = 0;
        s->nprimed = 0;
    }
    return s->nfollowed >= FOLLOWED_MIN ? GP_RD_ATTR_ALL : GP_RD_ATTR_DIRS;
}

void gofer_list_primed(struct gofer_sb *s, struct gofer_inode *gi)
{
    MUTEX_GUARD(&s->list_lock);
    s->nprimed++;
    atomic_fetch_or_explicit(&gi->state, GI_PRIMED, memory_order_relaxed);
}

/* Moves the cursor of l to the entry after name: 1 found right ahead, 0 found elsewhere, -1 not
 * there. */
static int find_name(struct gofer_list *l, struct wire_bytes name)
{
    struct gp_dirent e;
    for (int pass = 0; pass < 2; pass++) {
        struct wire_in in;
        u32 nseen = 0;
        wire_in_init(&in, l->data, l->size);
        in.pos = pass == 0 ? l->cursor : 0;
        while ((pass == 0 || in.pos < l->cursor) && gp_dirent_next(&in, &e) == 1) {
            if (e.name.size == name.size && !memcmp(e.name.p, name.p, name.size)) {
                l->cursor = (u32)in.pos;
                return pass == 0 && nseen <= 4;
            }
            nseen += !e.has_attr;
        }
    }
    return -1;
}

void gofer_list_neighbours(struct gofer_sb *s, struct gofer_inode *gi, struct wire_bytes name,
                           struct gofer_names *ret, bool *ret_absent)
{
    ret->count = 0;
    *ret_absent = false;
    MUTEX_GUARD(&s->list_lock);
    struct gofer_list *l = find_locked(s, gi->hdev, gi->hino);
    if (!l || !is_fresh(s, l))
        return;
    int r = find_name(l, name);
    if (r < 0) {
        *ret_absent = l->is_whole;
        return;
    }
    l->nmisses = r == 1 ? l->nmisses + 1 : 0;
    if (l->nmisses == 1)
        s->nfollowed++;
    if (l->nmisses < 1)
        return;
    struct wire_in in;
    struct gp_dirent e;
    u32 max = l->nmisses > 1 ? GOFER_AHEAD_NAMES : 8;
    wire_in_init(&in, l->data, l->size);
    in.pos = l->cursor;
    while (ret->count < max && gp_dirent_next(&in, &e) == 1) {
        bool is_dot = !gp_name_is_ok(e.name);
        if (e.has_attr || is_dot)
            continue;
        memcpy(ret->name[ret->count], e.name.p, e.name.size);
        ret->name[ret->count++][e.name.size] = '\0';
    }
    l->cursor = (u32)in.pos;
}
