/*
 * Small edits of TOML text: what is not edited stays as it was, to the byte.
 *
 * A path names a key or a table: its parts joined by TOML_SEP, as
 * "engine" TOML_SEP "runtimes". `name` is the file's, for complaints. The text
 * is malloc'ed and replaced by the edited one; on an error it is as before.
 */
#ifndef OCI_TOML_H
#define OCI_TOML_H

#include "oci/err.h"

#define TOML_SEP "\037"

/* Sets `key` of a table to a value given as TOML; adds the table at the end when there is none. */
int toml_set(char **text, const char *name, const char *table, const char *key, const char *value,
             struct err *e) must_check;
/* Takes out the tables at and below a path, or one key; nothing to take out is no error. */
int toml_remove_tables(char **text, const char *name, const char *table, struct err *e) must_check;
int toml_remove_key(char **text, const char *name, const char *table, const char *key,
                    struct err *e) must_check;
/* Takes out the header of a table that has no keys. */
int toml_remove_if_empty(char **text, const char *name, const char *table,
                         struct err *e) must_check;
/* 1 and a malloc'ed copy of a key's value as it is written, or 0: there is none. */
int toml_get(const char *text, const char *name, const char *table, const char *key,
             char **ret_value, struct err *e) must_check;
/* A string as TOML writes it; malloc'ed, NULL: out of memory. */
char *toml_quote(const char *s) must_check;

#endif
