/* SPDX-License-Identifier: MIT */
#ifndef PROTO_XALLOC_H
#define PROTO_XALLOC_H

#include <stddef.h>
#include <stdlib.h>

/*
 * Allocation that cannot fail: out of memory aborts with a message (the store
 * survives that, and the service manager starts us again).  Only for sizes
 * that no peer decides; what a peer decides is bounded before it comes here.
 */
void *xmalloc(size_t n_bytes) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size_bytes) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n_bytes) __attribute__((returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size_bytes) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t max_bytes) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
void xalloc_die(void) __attribute__((noreturn));

/* A jansson value that was just built: NULL means that memory is out.  Gives what came in. */
struct json_t *xjson(struct json_t *value) __attribute__((returns_nonnull));

/* Scope-exit clean-up: "cleanup_free char *p = NULL;" */
static inline void xalloc_cleanup_free(void *pp)
{
	free(*(void **)pp);
}
#define cleanup_free __attribute__((cleanup(xalloc_cleanup_free)))

#define MUST_USE __attribute__((warn_unused_result))

#endif
