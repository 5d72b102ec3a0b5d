/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_FETCH_H
#define DAEMON_KINDS_FETCH_H

#include "daemon/job/kind.h"
#include "daemon/kinds/dest.h"
#include "daemon/kinds/partial.h"
#include "daemon/kinds/xfer.h"

#include <openssl/evp.h>

/* What the two files of the kind share; nobody else includes it. */

#define FETCH_SUM_BYTES 32
#define FETCH_SUM_TEXT_BYTES (2 * FETCH_SUM_BYTES + 1)

struct rate {
	struct mono since; /* when the bytes began to be gathered */
	int64_t bytes;
	double per_s;
};

struct fetch {
	struct attempt *a;
	struct xfer xfer;
	struct dest dest;
	EVP_MD_CTX *digest;	/* owns; NULL when there is no body */
	const json_t *expect;	/* borrows from the document; NULL = 200-299 */
	const char *checksum;	/* borrows; 64 hex digits, NULL = any */
	const char *output;	/* borrows; NULL = the job's own folder */
	char *proxy, *ca_file;	/* own; a reload replaces the settings */
	int64_t max_bytes;	/* INT64_MAX = any */
	int64_t received_bytes; /* with what was there already */
	int64_t total_bytes;	/* -1 = not told */
	struct rate rate;
	struct mono begun;
	bool has_begun;
	bool may_resume;
	struct partial partial; /* how to go on with what the file holds */
	bool is_noted;		/* ... which is stored, for this boot */
	bool has_old_name;	/* a body, as that of an earlier attempt */
	char sum[FETCH_SUM_TEXT_BYTES];
};

/* Nothing has come yet.  Loop's stack. */
void fetch_restart_sum(struct fetch *f);

/* ---- fetchrest.c: going on with what an earlier attempt got ---- */

/* May the job be resumed at all?  f->xfer is filled in. */
bool fetchrest_may(const struct fetch *f, const json_t *spec);

/*
 * The file is open: let what there is of it be what can be gone on with, so
 * many bytes.  Helper thread.  0, or -EINVAL with @err.
 */
int fetchrest_look_at_file(struct fetch *f, int64_t *ret_bytes, struct aw_err *err);

/*
 * Something was saved for this attempt: ask for the rest of it, or let it be
 * forgotten.  0, -ECANCELED, or -EINVAL with @err.
 */
MUST_USE int co_fetchrest_begin(struct fetch *f, struct aw_err *err);

/* The head of an answer with a body is there.  Loop's stack. */
void fetchrest_on_head(struct fetch *f);
/* The transfer's co_look. */
int co_fetchrest_look(struct xfer *x, struct aw_err *err);

/* The transfer has ended well: was it all that was promised?  0, or -EINVAL with @err. */
int fetchrest_check_end(const struct fetch *f, struct aw_err *err);

/*
 * The attempt has failed with @result: leave to the next one what there is,
 * if there will be one.  false: nothing is left, and the file is still open.
 */
MUST_USE bool co_fetchrest_leave(struct fetch *f, int result, const struct aw_err *err);

#endif
