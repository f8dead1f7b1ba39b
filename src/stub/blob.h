/* The stub's flat image: begins with struct stub_header, is meant for STUB_TEXT. */
#ifndef STUB_BLOB_H
#define STUB_BLOB_H

extern const unsigned char stub_image[];
extern const unsigned long stub_image_size;

#endif
