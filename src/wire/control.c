/* Control messages: encoding and its mirror. */
#include "wire/control.h"

size_t ctl_encode(const struct ctl_msg *m, void *buf, size_t cap)
{
    struct wire_out w;
    wire_out_init(&w, buf, MIN(cap, (size_t)CTL_MAX_MSG));
    if (m->id.size > CTL_MAX_ID || m->data.size > CTL_MAX_DATA)
        return 0;
    wire_put_u32(&w, CTL_VERSION);
    wire_put_u32(&w, m->type);
    wire_put_s32(&w, m->a);
    wire_put_s32(&w, m->b);
    wire_put_bytes(&w, m->id.p, m->id.size);
    wire_put_bytes(&w, m->data.p, m->data.size);
    return w.is_bad ? 0 : w.size;
}

bool ctl_id_is_ok(const char *id, size_t size)
{
    if (size == 0 || size > CTL_MAX_ID)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = id[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '+' || c == '.' || c == '-'))
            return false;
    }
    return !(id[0] == '.' && (size == 1 || (size == 2 && id[1] == '.')));
}

bool ctl_decode(const void *buf, size_t size, struct ctl_msg *ret)
{
    struct wire_in w;
    wire_in_init(&w, buf, size);
    memset(ret, 0, sizeof(*ret));
    if (wire_get_u32(&w) != CTL_VERSION)
        return false;
    ret->type = wire_get_u32(&w);
    ret->a = wire_get_s32(&w);
    ret->b = wire_get_s32(&w);
    ret->id = wire_get_bytes(&w, CTL_MAX_ID);
    ret->data = wire_get_bytes(&w, CTL_MAX_DATA);
    if (!wire_in_is_done(&w) || ret->type == CTL_NONE || ret->type >= CTL_NTYPES)
        return false;
    return ret->id.size == 0 || ctl_id_is_ok(ret->id.p, ret->id.size);
}
