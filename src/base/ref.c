/* Reference counts: the slow path, which is always a bug of ours. */
#include "base/ref.h"

#include "base/log.h"

void ref_bug(const struct ref *r, u32 seen)
{
    panic("reference count %p used after it reached zero (%u)", (const void *)r, seen);
}
