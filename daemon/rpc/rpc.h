/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_RPC_H
#define DAEMON_RPC_RPC_H

#include "daemon/job/viewer.h"
#include "proto/buf.h"
#include "proto/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A method is one const descriptor beside its handler, in a file of its
 * family under rpc/methods/, listed in rpc/methods.c's one sorted array.  The
 * dispatcher does the envelope, the look-up, permission and the types of the
 * parameters; the handler returns the token made by rpc_reply(), rpc_fail()
 * or rpc_later(), so that forgetting to answer does not compile.
 */
struct conn;
struct rpc_call;

struct rpc_done {
	int token; /* only rpc_reply, rpc_fail and rpc_later make one */
};

enum rpc_type {
	RPC_OBJECT,
	RPC_ARRAY,
	RPC_STRING,
	RPC_INTEGER,
	RPC_BOOL,
	RPC_DURATION,	 /* number of seconds or time span; the handler reads it with
			    duration_from_json() */
	RPC_IDS,	 /* 1 ... 1000 positive integers; rpc_ids() gives them without duplicates */
	RPC_ONE_OR_LIST, /* a string or a list of strings */
	RPC_ANY,
	N_RPC_TYPES
};

enum {
	RPC_REQUIRED = 1 << 0,
	RPC_NULLABLE = 1 << 1, /* null is the same as absent */
};

struct rpc_param {
	const char *name;
	enum rpc_type type;
	unsigned flags;
	int64_t min, max; /* RPC_INTEGER; both 0 = any */
	const char *help;
};

enum {
	RPC_ROOT_OR_SELF = 1 << 0,   /* only root and the daemon's own user (shutdown, reload) */
	RPC_WHILE_STOPPING = 1 << 1, /* answered while the daemon stops */
	RPC_OPEN_PARAMS = 1 << 2,    /* params is one document that the handler checks itself */
	RPC_ANSWERS_ONLY = 1 << 5,   /* changes nothing: not handled for a peer that is gone */
	RPC_ADMINS = 1 << 4,	     /* only those, and administrators ([access] admin_group) */
	RPC_BARRIER = 1 << 3, /* the connection's next request is handled after this one's end */
	/*
	 * Requests of one connection take effect in order: what looks at jobs sees
	 * what was asked to change before.  Changes alone do not wait for each
	 * other, so that many share a commit.
	 */
	RPC_CHANGES = 1 << 6, /* it changes jobs that are there, and is answered later */
	RPC_LOOKS = 1 << 7,   /* handled after the end of all RPC_CHANGES before it */
};

struct rpc_method {
	const char *name;
	const char *summary;
	const struct rpc_param *params; /* ends with a NULL name; NULL = none */
	unsigned flags;
	/* @params is borrowed until this returns, checked against the table, NULL if none were
	 * sent. Loop's stack; does not yield. */
	struct rpc_done (*handler)(struct rpc_call *call, json_t *params);
};

extern const struct rpc_method *const rpc_methods[]; /* sorted by name */
extern const size_t n_rpc_methods;
/* @name is listed in the interface and not built yet. */
bool rpc_method_is_planned(const char *name);

/* Who asks. */
struct viewer rpc_viewer(const struct rpc_call *call);
uid_t rpc_uid(const struct rpc_call *call);
gid_t rpc_gid(const struct rpc_call *call);
/* NULL: the peer is gone. */
struct conn *rpc_conn(const struct rpc_call *call);

/*
 * Answer.  For a notification these answer nothing.  After rpc_later() the
 * call lives until rpc_finish_xxx(); if the peer goes away meanwhile the
 * answer is dropped, and on_gone (may be NULL) is called once, so that a wait
 * can be given up early: it must lead to rpc_finish_xxx() as well.
 */
struct rpc_done rpc_reply(struct rpc_call *call, json_t *result); /* takes result */
struct rpc_done rpc_reply_text(struct rpc_call *call, const char *text, size_t len);
struct rpc_done rpc_fail(struct rpc_call *call, const struct aw_err *err);
struct rpc_done rpc_later(struct rpc_call *call, void (*on_gone)(void *arg), void *arg);
void rpc_finish(struct rpc_call *call, json_t *result); /* takes result */
void rpc_finish_text(struct rpc_call *call, const char *text, size_t len);
void rpc_finish_fail(struct rpc_call *call, const struct aw_err *err);
/*
 * The same as rpc_finish_text() for what is printed straight to where it goes:
 * one value, by nothing that could answer another call.  NULL: nobody is
 * there to read it, so print nothing.  Then the end, with the same @out.
 */
struct buf *rpc_finish_begin(struct rpc_call *call);
void rpc_finish_end(struct rpc_call *call, struct buf *out);

/*
 * Until rpc_go_on(), or the answer, no further request of the call's
 * connection is handled: what the call has asked for could not be told before
 * what comes behind it.  Once is enough; a peer that is gone waits for nothing.
 */
void rpc_hold(struct rpc_call *call);
void rpc_go_on(struct rpc_call *call);

/*
 * From now on (@is_idle) the call waits for what may never come, such as the
 * end of a job; or no longer.  A stop of the daemon gives the others the time
 * that their answers take.
 */
void rpc_set_idle(struct rpc_call *call, bool is_idle);

/* A notification to the call's connection (of a follow, for one). */
void rpc_notify_text(struct rpc_call *call, const char *method, const char *params, size_t len);
/* Wait until the connection can take more: 0, -ECANCELED, or -EPIPE when it is gone. */
int co_rpc_writable(struct rpc_call *call);
/* The request's id as JSON (a new reference), for notifications that name it. */
json_t *rpc_id(const struct rpc_call *call);

/* The ids of an RPC_IDS parameter, duplicates counted once; the caller frees the array. */
int64_t *rpc_ids(const json_t *params, const char *name, size_t *ret_n);

#endif
