/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_CONN_H
#define DAEMON_RPC_CONN_H

#include "daemon/base/list.h"
#include "daemon/co/loop.h"
#include "proto/buf.h"
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rpc_call;
struct rpc_batch;
struct rpc_heavy;

/*
 * What writes notifications to a connection over and over, beside its calls.
 * Embedded by whoever does; a connection has one at most.
 */
struct conn_feed {
	/* It takes output again.  Only when has_writers was set since it was full. */
	void (*writable)(struct conn_feed *feed);
	/* The connection is about to be freed, and has forgotten the feed. */
	void (*gone)(struct conn_feed *feed);
};

enum conn_phase {
	CONN_OPEN,
	CONN_EOF,      /* the peer sends no more: what was read is still answered, then we close */
	CONN_REFUSING, /* nothing more is read: what is due is still answered, then why is said */
	CONN_LINGER,   /* our last words are said: what still comes is thrown away */
	CONN_DEAD,     /* about to be freed by the next flush */
};

/*
 * One client.  Lines come in through a buffer of at most one line's limit and
 * are handed to the dispatcher in place, in turns that are bounded by count
 * and time, so that a client that pipelines holds nobody up.  What a turn or
 * a commit answers is gathered and written with one system call.
 *
 * Nothing here closes a connection inline: conn_doom() marks it, the flush
 * task frees it, so that a handler may write to a connection that dies of it.
 */
struct conn {
	enum conn_phase phase;
	uid_t uid;
	gid_t gid;
	struct loop_fd lfd; /* owns the descriptor */
	struct list link;   /* among all connections */
	struct list turn;   /* among those with lines to handle */
	struct list dirty;  /* among those with something to write or to settle */
	struct list parked; /* among those whose next line is large and has to wait */
	bool is_admin;	    /* a member of [access] admin_group; known when is_named */
	bool is_named;	    /* the user's name is known, requests may be handled */
	bool is_mute;	    /* the peer reads no more: what we write is dropped */
	bool is_blocked;    /* the socket took no more at the last write */
	bool is_shut;	    /* lingering, our side is shut */

	struct {
		char *data; /* owns */
		size_t size, start, end;
		size_t scanned; /* no newline in [start, scanned) */
		size_t newline; /* of the first whole line, when has_line */
		bool has_line;
	} in;

	/* owns; said when all that is due is answered; NULL = none */
	struct aw_err *refusal;

	struct buf out;
	size_t in_counted;   /* of in, in the total of all connections */
	size_t out_sent;     /* of out, written already */
	size_t out_counted;  /* of out, in the total of all connections */
	size_t n_held_bytes; /* answers of batches that are not complete yet */
	size_t n_note_bytes; /* upper bound of the unsent bytes that are notifications */

	/* the dispatcher's */
	struct list calls; /* not answered yet */
	size_t n_calls;
	struct rpc_call *barrier; /* the next request waits for this one's end */
	struct rpc_call *held;	 /* waits itself, until n_changing is 0 (then no barrier is left) */
	size_t n_changing;	 /* of the calls, those that change jobs */
	struct rpc_batch *batch; /* its requests are being handled one after the other */
	struct rpc_heavy *heavy; /* its line is being parsed by a helper thread */
	bool has_writers;	 /* somebody waits until it takes output again */
	struct conn_feed *feed;	 /* borrows; NULL = none */

	struct loop_timer line_timer; /* a line was begun; half-closed: look whether the peer is
					 still there; lingering: enough */
	struct loop_timer note_timer; /* too many unread notifications for too long */
};

/* A new connection on @fd (taken, non-blocking).  NULL if it cannot be watched; @fd is closed then.
 */
struct conn *conn_new(int fd, uid_t uid, gid_t gid);
/*
 * The name of @uid is known now, and who the administrators are: its connections' first
 * requests may be handled.
 */
void conn_named(uid_t uid);
/* Let @c go at the next flush; calls that wait are told. */
void conn_doom(struct conn *c);
/* At shutdown: take no more requests; what was begun is still answered. */
void conn_hear_no_more(void);
/* At shutdown: write what can be written at once, close all. */
void conn_close_all(void);

/*
 * Say something: print whole lines to conn_out(), then tell by one of the two
 * below.  Harmless for a connection that is going away.
 */
struct buf *conn_out(struct conn *c);
void conn_replied(struct conn *c);
void conn_notified(struct conn *c, size_t n_bytes);
/* @n_bytes more (or less) are held in memory for this connection outside of its output. */
void conn_hold(struct conn *c, ptrdiff_t n_bytes);

/* A large line is over: the next one may be taken. */
void conn_heavy_over(void);

/* Something changed (a call ended, a barrier fell): look at @c again in the next flush. */
void conn_touch(struct conn *c);
/* The unsent output is so much that more should wait. */
bool conn_is_full(const struct conn *c);

struct conn_stats {
	size_t n_open;
	uint64_t n_opened;
	uint64_t n_dropped; /* because they did not read */
	size_t n_buffered_bytes;
};
void conn_stats(struct conn_stats *ret);
size_t conn_count_of(uid_t uid);

#endif
