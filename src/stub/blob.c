/* The stub's image, as bytes in the Sentry. */
#include "stub/blob.h"

const unsigned char stub_image[] = {
#include "stub_blob.h"
};
const unsigned long stub_image_size = sizeof(stub_image);
