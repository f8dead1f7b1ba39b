/* FUSE: /dev/fuse and the file system type "fuse". */
#ifndef FS_FUSE_H
#define FS_FUSE_H

/* Registers the device and the type. At start. */
void fuse_init(void);

#endif
