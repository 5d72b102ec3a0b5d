/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_COPY_H
#define DAEMON_STORE_COPY_H

#include <stdbool.h>

/*
 * A new database file that SQLite fills on one thread and another thread
 * writes: whoever fills it never waits for the disk that it is on.
 *
 * What was handed over is kept in memory until it is written.  While that is
 * much, copy_has_room() says no, and nothing new should be begun; what changes
 * in pages that were handed over already is taken all the same, up to a limit
 * that ends the copy.
 */
struct copy;

/* Give a copy, which takes @fd, an empty file open for writing.  0 or -errno. */
int copy_start(int fd, struct copy **ret);

/*
 * The thread that fills it.  copy_vfs() is the name by which db_open_in()
 * opens the one connection, whose path is only a name; register before it,
 * unregister when it is open.
 */
int copy_register(struct copy *c); /* an SQLite code */
const char *copy_vfs(const struct copy *c);
void copy_unregister(struct copy *c);
/*
 * false: not now; @on_room is called once when there is room again, on the
 * writing thread and under a lock, so it may not call us.
 */
bool copy_has_room(struct copy *c, void (*on_room)(void *arg), void *arg);
/* The connection is closed.  No @on_room comes after this. */
void copy_leave(struct copy *c);

/* What went wrong, as an errno; 0 = nothing.  ENOBUFS: it is written too slowly. */
int copy_error(struct copy *c);

/* Both free @c.  Wait until all is written; 0 or -errno.  May take as long as the disk likes. */
int copy_finish(struct copy *c);
/*
 * Give it up.  false: the disk does not answer, and the file is still being
 * written to; this waits for some seconds only.
 */
bool copy_discard(struct copy *c);

#endif
