/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_CONN_H
#define CLIENT_CONN_H

#include "proto/buf.h"
#include "proto/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A blocking connection to the daemon.  Zero-initialise it; conn_fini() when done. */
struct conn {
	int fd; /* only valid while is_open */
	bool is_open;
	char *path;	  /* owns; set by the first conn_open() */
	uid_t peer_uid;	  /* who listens */
	int64_t last_id;  /* of the last request */
	struct buf in;	  /* received and not yet taken */
	size_t n_scanned; /* bytes of in without a newline */
	size_t n_taken;	  /* bytes of in that the last reply borrows */
};

/* A reply or a notification.  Zero-initialise it. */
struct reply {
	int64_t id;	    /* 0 for a notification */
	json_t *value;	    /* owns; the whole line */
	json_t *result;	    /* borrows; NULL with an error */
	json_t *error;	    /* borrows */
	const char *method; /* borrows; a notification's */
	json_t *params;	    /* borrows; a notification's */
	char *text;	    /* owns; the result as the daemon wrote it, to be printed */
	size_t text_len;
};
void reply_fini(struct reply *r);

/*
 * Connect: to @socket, else $AWAITD_SOCKET, else the user's socket if that
 * file exists, else the system's.  Never a second choice after a refusal.
 * 0, or negative errno with @err saying what to do.
 */
int conn_open(struct conn *c, const char *socket, struct aw_err *err);
/* The same path again, for a connection that was lost. */
int conn_open_again(struct conn *c);
/* Takes a conn that was never opened. */
void conn_fini(struct conn *c);

/* Send a request; its id goes to *ret_id.  0, or negative errno (-EPIPE, -ECONNRESET: lost). */
int conn_send(struct conn *c, const char *method, const json_t *params, int64_t *ret_id);
/* Send text that is one line already, newline included. */
int conn_send_text(struct conn *c, const char *text, size_t len);

/*
 * The next reply or notification.  @until_us is an instant of mono_now_us(), -1 for
 * ever.  0; -ETIMEDOUT; -EINTR (interrupt_take() says so); -ECONNRESET when the
 * daemon is gone; -EBADMSG when it does not speak the protocol.
 */
int conn_receive(struct conn *c, int64_t until_us, struct reply *ret);
/* Is a whole message here already?  poll() on the socket does not know of it. */
bool conn_has_message(const struct conn *c);

#endif
