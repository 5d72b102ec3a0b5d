/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_XFER_H
#define DAEMON_KINDS_XFER_H

#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "daemon/kinds/lookup.h"
#include "daemon/kinds/xferpool.h"
#include "proto/err.h"
#include "proto/xalloc.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Curl_URL;
struct curl_slist;

#define XFER_ERROR_BYTES 256

/* The beginning of something, which is there already. */
struct xfer_rest {
	const char *url;       /* the effective one that it came from; NULL = there is nothing */
	const char *validator; /* of the answer that it came with */
	int64_t from_bytes;    /* so many are there, at least one */
	int64_t total_bytes;   /* of all; -1 = not known */
};

/*
 * One HTTP request with its redirects, on libcurl and the loop.  Only the xfer
 * files know libcurl.  Zero-initialise, fill in the first part, call
 * co_xfer_run(), then xfer_clear().
 *
 * Redirects are followed here and not by libcurl, because each one is a
 * decision: a job with headers or a body of its own stays with its origin,
 * a job that began with https stays with it, credentials never move on
 * (R4.9, R4.11).
 */
struct xfer {
	/* in; borrowed until co_xfer_run() has returned */
	const char *url; /* checked with xfer_check_url() */
	const char *method;
	const json_t *headers; /* an object of text; NULL = none */
	const char *body;      /* NULL = none */
	size_t body_len;
	const char *proxy;	    /* NULL or "" = none */
	const char *ca_file;	    /* whom TLS trusts; NULL or "" = this machine's authorities */
	bool is_insecure;	    /* TLS trusts anybody */
	int64_t connect_timeout_us; /* > 0; look-up, TCP and TLS of one hop */
	int64_t idle_timeout_us;    /* > 0; connected and no byte moves */
	unsigned max_redirects;
	struct xfer_rest rest; /* borrows; ask only for what comes after it */
	bool wants_validator;
	bool may_reuse; /* the owner is our own user: connections may be shared, see xfer.c */

	/*
	 * Called on the loop's stack; they never yield.  on_head: the head of
	 * the final answer is there (status, content_*).  on_data: the next
	 * bytes of its body.  A negative return with ->err filled ends the
	 * transfer with that error.  A redirect with a status that
	 * wants_status() takes is an answer like others.  With is_rest, status 206
	 * is the rest that was asked for; every other one is of the whole, and so is a 206
	 * without it.
	 */
	bool (*wants_status)(const struct xfer *x, long status);
	int (*on_head)(struct xfer *x);
	int (*on_data)(struct xfer *x, const void *data, size_t len);
	struct aw_err err; /* owns; for the callbacks */

	/*
	 * Called on the coroutine, may yield: when look_at has come, while the
	 * transfer goes on; and when on_head has set is_held, before any byte of the
	 * body is told.  0, or a negative value that ends the transfer, with @err filled.
	 */
	int (*co_look)(struct xfer *x, struct aw_err *err);
	struct mono look_at; /* MONO_NEVER = not at all */
	bool is_held;	     /* dropped when co_look has returned */

	/* out */
	long status;
	char *effective_url;	/* owns; the user part masked; of the hop that is under way */
	char *content_type;	/* owns; clean UTF-8; NULL = none */
	int64_t content_length; /* -1 = not told */
	bool is_rest;		/* the answer is the rest that was asked for, up to rest_end */
	int64_t rest_end_bytes; /* the size of the whole */
	char *validator;	/* owns; with which its rest can be asked for, NULL = it cannot */

	/* private */
	struct xferpool_item item;
	struct lookup lookup;
	struct Curl_URL *first;	   /* owns; the job's own URL, without user part */
	struct Curl_URL *hop;	   /* owns; the URL of this hop, without user part */
	struct curl_slist *list;   /* owns; the header lines */
	char *user, *password;	   /* own; of the job's URL */
	char *location;		   /* owns; of the head that is being read */
	char *denied;		   /* owns; the address that was refused */
	bool is_denied_by_setting; /* not by the rules that always hold */
	struct signal_flag flag;
	struct mono active_at; /* when a byte moved last */
	int64_t uploaded_bytes;
	int64_t head_bytes;
	unsigned n_redirects;
	int code, os_errno;
	bool is_connected, is_head_done, is_redirect, is_done, drops_body;
	bool asks_rest, is_refused, is_waiting;
	char why[XFER_ERROR_BYTES];
};

/* Is @url one that a fetch can use?  0, or -EINVAL with AW_PARAMS at /url.  Loop's stack. */
MUST_USE int xfer_check_url(const char *url, struct aw_err *err);

/*
 * Do it.  Coroutine only; yields.  0 when the answer was read to its end,
 * -ECANCELED (nothing is left under way), or -EINVAL with the reason in @err.
 */
MUST_USE int co_xfer_run(struct xfer *x, struct aw_err *err);

/* Free what came out. */
void xfer_clear(struct xfer *x);

/*
 * libcurl's global start, some milliseconds; the first transfer does it
 * otherwise.  0 or -ENOMEM.  xfer_fini() at shutdown, when no transfer is left.
 */
int xfer_init(void);
void xfer_fini(void);

/* Body bytes received since the start, for daemon.stats. */
uint64_t xfer_received_bytes(void);

#endif
