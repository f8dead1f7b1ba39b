/*
 * Listings that are kept, and what is foreseen from them.
 *
 * Two patterns cost a round trip for each object otherwise. A tree walk (find,
 * du, git status) lists a directory, then its subdirectories: once two in a row were children of
 * directories listed before, the gofer is asked to send the listings that
 * follow along, up to a window that grows while they are used and shrinks when
 * they are not. A program that asks for the attributes of what it has listed
 * (ls -l) makes lookups that walk along a listing: the second in a row brings
 * its neighbours' attributes along, and after a few such directories listings
 * come with all attributes at once, which answer lookups from here, until too
 * few of them are asked for. All that only in exclusive mode; a listing older
 * than any change of ours is not believed.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/fs.h"
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
    if (l && ref_put(&l->ref)) {
        free(l->index);
        free(l);
    }
}

/* ---- names in a batch ----------------------------------------------------------------------- */

#define NO_NAME UINT32_MAX

/* Chains, so that names that were chosen to collide make it slow, not slower than a search. */
struct gofer_index {
    u32 nbuckets, n; /* a power of two */
    struct {
        u32 hash, at, next; /* at: the entry's place in the data */
    } names[];
    /* then u32 heads[nbuckets] */
};

static u32 *heads_of(struct gofer_index *x)
{
    return (u32 *)&x->names[x->n];
}

static u32 hash_of(struct wire_bytes name)
{
    u32 h = 2166136261U;
    for (u32 k = 0; k < name.size; k++)
        h = (h ^ (u8)name.p[k]) * 16777619U;
    return h ^ h >> 15;
}

static size_t index_size(u32 n, u32 nbuckets)
{
    return sizeof(struct gofer_index) + n * sizeof(((struct gofer_index *)0)->names[0]) +
           nbuckets * sizeof(u32);
}

static struct gofer_index *index_make(const struct gofer_list *l)
{
    struct wire_in in;
    struct gp_dirent e;
    u32 n = 0, nbuckets = 16;
    wire_in_init(&in, l->data, l->size);
    while (gp_dirent_next(&in, &e) == 1)
        n++;
    while (nbuckets < n)
        nbuckets *= 2;
    struct gofer_index *x = malloc(index_size(n, nbuckets));
    if (!x)
        return NULL;
    x->nbuckets = nbuckets;
    x->n = n;
    memset(heads_of(x), 0xff, nbuckets * sizeof(u32));
    wire_in_init(&in, l->data, l->size);
    for (u32 k = 0; k < n; k++) {
        u32 at = (u32)in.pos;
        if (gp_dirent_next(&in, &e) != 1) { /* not the second time only */
            free(x);
            return NULL;
        }
        u32 hash = hash_of(e.name), *head = &heads_of(x)[hash & (nbuckets - 1)];
        x->names[k].hash = hash;
        x->names[k].at = at;
        x->names[k].next = *head;
        *head = k;
    }
    return x;
}

/* What l takes of the memory for listings. */
static size_t cost_of(const struct gofer_list *l)
{
    return l->size + (l->index ? index_size(l->index->n, l->index->nbuckets) : 0);
}

static bool is_named(const struct gp_dirent *e, struct wire_bytes name)
{
    return e->name.size == name.size && !memcmp(e->name.p, name.p, name.size);
}

static struct list *bucket_of(struct gofer_sb *s, u64 dev, u64 ino)
{
    u64 h = (ino ^ dev * 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
    return &s->list_buckets[(h >> 40) % GOFER_LIST_BUCKETS];
}

#define WORTH_USES                                                                                 \
    4U /* lookups answered by a listing that was asked for by lookups, to have paid */
#define WORTH_MIN 2U

/* Takes l out; its node id is returned for the caller to give back after the lock. */
static u64 take_out(struct gofer_sb *s, struct gofer_list *l)
{
    u64 node = l->node;
    l->node = 0;
    list_del(&l->bucket);
    list_del(&l->lru);
    s->list_bytes -= cost_of(l);
    if (l->was_ahead) /* fetched for nothing */
        s->ahead_size = MAX(s->ahead_size / 2, AHEAD_MIN);
    if (l->is_for_lookups && l->nused < WORTH_USES)
        s->nworth = 0;
    s->nattrs += l->nattrs;
    s->nattrs_used += l->nused;
    gofer_list_put(l);
    return node;
}

/* The kept batch of the directory that starts at pos. */
static struct gofer_list *find_locked(struct gofer_sb *s, u64 dev, u64 ino, u32 mnt, s64 pos)
{
    struct gofer_list *l;
    list_for_each (l, bucket_of(s, dev, ino), bucket) {
        if (l->hino == ino && l->hdev == dev && l->hmnt == mnt && l->pos == pos)
            return l;
    }
    return NULL;
}

static bool is_fresh(struct gofer_sb *s, const struct gofer_list *l)
{
    return l->seq == atomic_load_explicit(&s->change_seq, memory_order_relaxed);
}

/* Used last: the last to be given up. */
static void touch(struct gofer_sb *s, struct gofer_list *l)
{
    list_del(&l->lru);
    list_add_tail(&s->list_lru, &l->lru);
}

void gofer_list_for_lookups(struct gofer_sb *s, struct gofer_list *l)
{
    MUTEX_GUARD(&s->list_lock);
    l->is_for_lookups = true;
}

bool gofer_list_lookups_pay(struct gofer_sb *s)
{
    MUTEX_GUARD(&s->list_lock);
    return s->nworth >= WORTH_MIN;
}

struct gofer_list *gofer_list_find(struct gofer_sb *s, struct gofer_inode *gi)
{
    u64 node = 0;
    mutex_lock(&s->list_lock);
    struct gofer_list *l = find_locked(s, gi->hdev, gi->hino, gi->hmnt, 0);
    bool is_good = l && l->is_whole && is_fresh(s, l);
    if (is_good) {
        node = l->node;
        l->node = 0;
        if (l->was_ahead) {
            l->was_ahead = false;
            s->ahead_size = MIN(s->ahead_size + s->ahead_size / 4, AHEAD_MAX);
        }
        touch(s, l);
        ref_get(&l->ref);
        l->opened = (struct gofer_spot){0}; /* who lists the directory again begins again */
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
    old = find_locked(s, l->hdev, l->hino, l->hmnt, l->pos);
    node = old ? take_out(s, old) : 0;
    ref_get(&l->ref);
    list_add_head(bucket_of(s, l->hdev, l->hino), &l->bucket);
    list_add_tail(&s->list_lru, &l->lru);
    s->list_bytes += cost_of(l);
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

/* How many attributes of other than directories came with l. */
static u32 count_attrs(const struct gofer_list *l)
{
    struct wire_in in;
    struct gp_dirent e;
    u32 n = 0;
    wire_in_init(&in, l->data, l->size);
    while (gp_dirent_next(&in, &e) == 1)
        n += e.has_attr && e.type != LX_DT_DIR;
    return n;
}

static struct gofer_list *list_alloc(u64 dev, u64 ino, u32 mnt, u32 seq, struct wire_bytes data)
{
    struct gofer_list *l = malloc(sizeof(*l) + data.size);
    if (!l)
        return NULL;
    *l = (struct gofer_list){.hdev = dev, .hino = ino, .hmnt = mnt, .seq = seq, .size = data.size};
    ref_init(&l->ref);
    list_init(&l->bucket);
    list_init(&l->lru);
    memcpy(l->data, data.p, data.size);
    return l;
}

struct gofer_list *gofer_list_new(struct gofer_sb *s, const struct gofer_inode *gi, u32 seq,
                                  const struct gp_resp *resp, s64 pos, bool has_attrs)
{
    struct gofer_list *l = list_alloc(gi->hdev, gi->hino, gi->hmnt, seq, resp->data);
    if (!l)
        return NULL;
    l->pos = pos;
    l->is_whole = pos == 0 && resp->count != 0;
    l->nattrs = has_attrs ? count_attrs(l) : 0;
    if (!gofer_is_shared(s))
        keep(s, l);
    struct wire_in in;
    struct gp_section sec;
    struct wire_bytes entries;
    wire_in_init(&in, resp->more.p, resp->more.size);
    while (gp_section_next(&in, &sec, &entries) == 1) {
        struct gofer_list *sub = list_alloc(sec.dev, sec.ino, sec.mnt, seq, entries);
        if (!sub) {
            gofer_forget(s->conn, sec.node);
            continue;
        }
        sub->node = sec.node;
        sub->is_whole = sub->was_ahead = true;
        sub->nattrs = has_attrs ? count_attrs(sub) : 0;
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
#define ATTRS_TRIAL  2048U

u32 gofer_list_wanted(struct gofer_sb *s)
{
    MUTEX_GUARD(&s->list_lock);
    if (s->nattrs >= ATTRS_TRIAL) {
        if (s->nattrs_used < s->nattrs / 4)
            s->nfollowed = 0;
        s->nattrs = s->nattrs_used = 0;
    }
    return s->nfollowed >= FOLLOWED_MIN ? GP_RD_ATTR_ALL : GP_RD_ATTR_DIRS;
}

#define LOOK_AHEAD 8U /* entries right behind a cursor: the next of a row of lookups */

/* Looks for name among the entries behind l's cursor, and moves that behind it. */
static bool find_next(struct gofer_list *l, struct wire_bytes name, struct gp_dirent *ret)
{
    struct wire_in in;
    wire_in_init(&in, l->data, l->size);
    in.pos = l->cursor;
    for (u32 n = 0; n < LOOK_AHEAD && gp_dirent_next(&in, ret) == 1; n++) {
        if (is_named(ret, name)) {
            l->cursor = (u32)in.pos;
            return true;
        }
    }
    return false;
}

/* The same anywhere in l. */
static bool find_name(struct gofer_sb *s, struct gofer_list *l, struct wire_bytes name,
                      struct gp_dirent *ret)
{
    struct wire_in in;
    wire_in_init(&in, l->data, l->size);
    if (!l->index) {
        s->list_bytes -= cost_of(l);
        l->index = index_make(l);
        s->list_bytes += cost_of(l);
    }
    struct gofer_index *x = l->index;
    u32 hash = hash_of(name);
    for (u32 k = x ? heads_of(x)[hash & (x->nbuckets - 1)] : NO_NAME; k != NO_NAME;
         k = x->names[k].next) {
        in.pos = x->names[k].at;
        if (x->names[k].hash == hash && gp_dirent_next(&in, ret) == 1 && is_named(ret, name)) {
            l->cursor = (u32)in.pos;
            return true;
        }
    }
    while (!x && gp_dirent_next(&in, ret) == 1) { /* no memory for an index */
        if (is_named(ret, name)) {
            l->cursor = (u32)in.pos;
            return true;
        }
    }
    return false;
}

/* The batch of the directory that holds name, and name's entry in it. */
static struct gofer_list *find_entry(struct gofer_sb *s, const struct gofer_inode *gi,
                                     struct wire_bytes name, struct gofer_hint *ret,
                                     bool *ret_in_row)
{
    for (int pass = 0; pass < 2; pass++) {
        struct gofer_list *l;
        list_for_each (l, bucket_of(s, gi->hdev, gi->hino), bucket) {
            if (l->hino != gi->hino || l->hdev != gi->hdev || l->hmnt != gi->hmnt ||
                !is_fresh(s, l))
                continue;
            *ret_in_row = pass == 0;
            if (pass == 0 ? find_next(l, name, &ret->e) : find_name(s, l, name, &ret->e))
                return l;
            ret->is_absent |= l->is_whole;
        }
    }
    return NULL;
}

/* The names that follow the cursor and have no attributes yet. */
static void take_neighbours(struct gofer_list *l, struct gofer_hint *ret)
{
    struct wire_in in;
    struct gp_dirent e;
    u32 max = l->nmisses > 1 ? GOFER_AHEAD_NAMES : 8;
    wire_in_init(&in, l->data, l->size);
    in.pos = l->cursor;
    while (ret->nnames < max && gp_dirent_next(&in, &e) == 1) {
        if (!e.has_attr && gp_name_is_ok(e.name))
            ret->names[ret->nnames++] = e.name;
    }
    l->cursor = (u32)in.pos;
}

void gofer_list_hint(struct gofer_sb *s, struct gofer_inode *gi, struct wire_bytes name,
                     struct gofer_hint *ret)
{
    bool is_in_row;
    ret->list = NULL;
    ret->is_absent = ret->is_found = false;
    ret->nnames = 0;
    MUTEX_GUARD(&s->list_lock);
    struct gofer_list *l = find_entry(s, gi, name, ret, &is_in_row);
    if (!l)
        return;
    ret->is_absent = false;
    if (ret->e.has_attr) {
        ret->is_found = true;
        l->nused++;
        if (l->is_for_lookups && l->nused == WORTH_USES)
            s->nworth++;
    } else {
        l->nmisses = is_in_row ? l->nmisses + 1 : 0;
        if (l->nmisses == 1)
            s->nfollowed++;
        if (l->nmisses >= 1)
            take_neighbours(l, ret);
    }
    if (ret->is_found || ret->nnames > 0) {
        ref_get(&l->ref);
        ret->list = l;
    }
}

/* ---- files that will be opened -------------------------------------------------------------- */

/* Programs open the files of a directory as they are listed, or sorted by one of these. */
enum { BY_PLACE, BY_NAME, BY_INO, NORDERS };

#define SKIPPED_MAX 2U /* files between two that count as one after the other */

/* Below 0, 0, above 0: a before, at, after b. */
static int spot_compare(const struct gofer_spot *a, const struct gofer_spot *b, u32 order)
{
    if (order == BY_NAME) {
        int r = memcmp(a->name.p, b->name.p, MIN(a->name.size, b->name.size));
        return r ? r : (int)a->name.size - (int)b->name.size;
    }
    u64 x = order == BY_INO ? a->ino : a->at, y = order == BY_INO ? b->ino : b->at;
    return (x > y) - (x < y);
}

/* The next regular file. */
static bool next_file(struct wire_in *in, struct gofer_spot *ret)
{
    struct gp_dirent e;
    while (gp_dirent_next(in, &e) == 1) {
        if (e.type != LX_DT_REG || !gp_name_is_ok(e.name))
            continue;
        *ret = (struct gofer_spot){(u32)in->pos, e.ino, e.name};
        return true;
    }
    return false;
}

static u32 count_between(const struct gofer_list *l, const struct gofer_spot *a,
                         const struct gofer_spot *b, u32 order)
{
    struct wire_in in;
    struct gofer_spot x;
    u32 n = 0;
    if (spot_compare(a, b, order) >= 0)
        return UINT32_MAX;
    wire_in_init(&in, l->data, l->size);
    while (next_file(&in, &x))
        n += spot_compare(a, &x, order) < 0 && spot_compare(&x, b, order) < 0;
    return n;
}

/* The first files of l behind `from` (at 0: from the begin), at most max of them; how many. */
static u32 files_after(const struct gofer_list *l, const struct gofer_spot *from, u32 order,
                       u32 max, struct gofer_spot *ret)
{
    struct wire_in in;
    struct gofer_spot x;
    u32 n = 0;
    wire_in_init(&in, l->data, l->size);
    if (order == BY_PLACE)
        in.pos = from->at;
    while (max > 0 && !(order == BY_PLACE && n == max) && next_file(&in, &x)) {
        if ((from->at && spot_compare(&x, from, order) <= 0) ||
            (n == max && spot_compare(&x, &ret[n - 1], order) >= 0))
            continue;
        u32 k = n < max ? n++ : n - 1;
        for (; k > 0 && spot_compare(&x, &ret[k - 1], order) < 0; k--)
            ret[k] = ret[k - 1];
        ret[k] = x;
    }
    return n;
}

/* Adds the files of l behind `from` to the request, as far as window goes. */
static void add_opens(struct gofer_list *l, u64 node, const struct gofer_spot *from, u32 order,
                      u32 window, struct gp_req *q, struct gofer_opens *o)
{
    struct gofer_spot spots[GP_MAX_WALK];
    u32 n = files_after(l, from, order, window - q->nnames, spots);
    if (n == 0)
        return;
    for (u32 k = 0; k < n; k++) {
        q->ids[q->nnames] = node;
        q->names[q->nnames++] = spots[k].name;
    }
    q->nids = q->nnames;
    l->opened = spots[n - 1];
    ref_get(&l->ref);
    o->lists[o->nlists++] = l;
}

/* Is the file at `now` of l opened as the next one of a row? */
static bool is_next_opened(struct gofer_sb *s, const struct gofer_list *l,
                           const struct gofer_spot *now)
{
    if (!l->opened.at) /* the directory's first, which says nothing */
        return s->nopened > 0;
    for (u32 order = 0; order < NORDERS; order++) {
        if (count_between(l, &l->opened, now, order) <= SKIPPED_MAX) {
            s->open_order = order;
            s->nopened++;
            return true;
        }
    }
    s->nopened = 0;
    return false;
}

void gofer_list_opens(struct gofer_sb *s, struct gofer_inode *gi, struct gp_req *q,
                      struct gofer_opens *o)
{
    static const struct gofer_spot begin = {0};
    char name[GP_MAX_NAME + 1];
    struct inode *dir;
    struct gofer_hint hint;
    u32 seq, window = MIN(atomic_load_explicit(&s->open_window, memory_order_relaxed), GP_MAX_WALK);
    bool is_in_row;
    if (gofer_get_place(gi, &dir, name, &seq) < 0)
        return;
    u64 node = atomic_load(&gofer_of(dir)->node);
    mutex_lock(&s->list_lock);
    struct gofer_list *l = find_entry(
        s, gofer_of(dir), (struct wire_bytes){name, (u32)strlen(name)}, &hint, &is_in_row);
    if (l && node) {
        struct gofer_spot now = {l->cursor, hint.e.ino, hint.e.name};
        bool is_row = is_next_opened(s, l, &now);
        l->opened = now;
        if (is_row)
            add_opens(l, node, &now, s->open_order, window, q, o);
        /* Then those of the directories that a tree walk enters next. */
        struct gofer_list *next;
        list_for_each (next, &s->list_lru, lru) {
            if (!is_row || q->nnames >= window || o->nlists == GOFER_OPENS_LISTS)
                break;
            if (next != l && next->was_ahead && next->node && !next->opened.at && is_fresh(s, next))
                add_opens(next, next->node, &begin, s->open_order, window, q, o);
        }
    }
    mutex_unlock(&s->list_lock);
    inode_put(dir);
}

void gofer_list_opens_put(struct gofer_opens *o)
{
    while (o->nlists > 0)
        gofer_list_put(o->lists[--o->nlists]);
}

struct gofer_list *gofer_list_siblings(struct gofer_sb *s, struct gofer_inode *gi, struct gp_req *q)
{
    char name[GP_MAX_NAME + 1];
    struct inode *dir;
    u32 seq;
    if (gofer_get_place(gi, &dir, name, &seq) < 0)
        return NULL;
    struct gofer_inode *parent = gofer_of(dir);
    struct gofer_hint hint;
    struct gp_dirent e;
    bool is_in_row;
    q->node2 = atomic_load(&parent->node);
    mutex_lock(&s->list_lock);
    struct gofer_list *l = NULL;
    if (q->node2)
        l = find_entry(s, parent, (struct wire_bytes){name, (u32)strlen(name)}, &hint, &is_in_row);
    if (l) {
        struct wire_in in;
        wire_in_init(&in, l->data, l->size);
        in.pos = l->cursor;
        while (q->nnames < GP_MAX_WALK && gp_dirent_next(&in, &e) == 1) {
            if (e.type != LX_DT_DIR || !e.has_attr || !gp_name_is_ok(e.name))
                continue;
            struct gofer_list *known = find_locked(s, e.attr.dev, e.attr.ino, e.attr.mnt, 0);
            if (!known || !is_fresh(s, known))
                q->names[q->nnames++] = e.name;
        }
        touch(s, l);
        if (q->nnames > 0)
            ref_get(&l->ref);
        else
            l = NULL;
    }
    mutex_unlock(&s->list_lock);
    inode_put(dir);
    return l;
}
