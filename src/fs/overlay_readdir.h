/* Overlay: the listing of one open directory. */
#ifndef FS_OVERLAY_READDIR_H
#define FS_OVERLAY_READDIR_H

#include "vfs/vfs.h"

struct ovl_listing;
struct ovl_listing *ovl_listing_new(void) must_check;
void ovl_listing_free(struct ovl_listing *l);
/* Gives entries from *pos on and moves it. */
int ovl_listing_read(struct ovl_listing *l, struct inode *dir, u64 parent_ino, s64 *pos,
                     struct dir_ctx *ctx) must_check;

#endif
