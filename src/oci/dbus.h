/*
 * As much of D-Bus as it takes to give systemd orders: method calls with built bodies, answers, and
 * waiting for a signal. Messages are little-endian (the D-Bus specification, "Message Protocol").
 *
 *   struct dbus *bus;
 *   dbus_open(…, &bus, e);
 *   dbus_body_start(bus);  dbus_add_str(bus, "a.scope");  …
 *   dbus_call(bus, "/path", "some.Interface", "Method", "s", e);
 *   dbus_get_str(bus, …);
 *   dbus_close(bus);
 *
 * The bus is trusted to be the bus, not to be well-formed: every read is bounded.
 */
#ifndef OCI_DBUS_H
#define OCI_DBUS_H

#include "oci/err.h"

struct dbus;

/* A list of addresses as in DBUS_SYSTEM_BUS_ADDRESS ("unix:path=/a;unix:abstract=b"). is_bus: there
 * is a message bus behind it, not the service itself. -1 with e->status ENOENT: nobody is there. */
int dbus_open(const char *addresses, bool is_bus, struct dbus **ret, struct err *e) must_check;
void dbus_close(struct dbus *b);

/* ---- a call's arguments, in order; what does not fit fails the call ------------------------- */

void dbus_body_start(struct dbus *b);
void dbus_add_u32(struct dbus *b, u32 v); /* also a boolean */
void dbus_add_u64(struct dbus *b, u64 v);
void dbus_add_str(struct dbus *b, const char *s); /* also a path */
void dbus_add_signature(struct dbus *b, const char *s);
/* An array of elements that are aligned to `align`: what it returns goes to dbus_array_end. */
u32 dbus_array_begin(struct dbus *b, u32 align);
void dbus_array_end(struct dbus *b, u32 mark);
void dbus_struct_begin(struct dbus *b);

/* ---- calls ---------------------------------------------------------------------------------- */

/* To org.freedesktop.systemd1 or, for is_driver's interface org.freedesktop.DBus, to the bus. The
 * answer's body is left for the readers below. An answer that is an error is one, with its name in
 * dbus_error_name. */
int dbus_call(struct dbus *b, const char *path, const char *interface, const char *member,
              const char *signature, struct err *e) must_check;
const char *dbus_error_name(const struct dbus *b); /* of the last call; "" : none */
/* Of the last message; false: there is none such. */
bool dbus_get_str(struct dbus *b, const char **ret) must_check;
bool dbus_get_u32(struct dbus *b, u32 *ret) must_check;
bool dbus_get_variant_str(struct dbus *b, const char **ret) must_check;
/* The next signal of this name, at the latest after timeout_ms. Those that came while a call waited
 * for its answer are not lost. */
int dbus_await_signal(struct dbus *b, const char *member, int timeout_ms, struct err *e) must_check;

#endif
