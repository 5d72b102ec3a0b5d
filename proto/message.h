/* SPDX-License-Identifier: MIT */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include "proto/buf.h"
#include "proto/err.h"

#include <jansson.h>

/* JSON-RPC 2.0 envelopes (https://www.jsonrpc.org/specification), one per line. */

/* A request or notification, taken apart.  Everything is borrowed from the parsed value. */
struct message {
	const json_t *id; /* integer, string or JSON null; NULL for a notification */
	const char *method;
	json_t *params; /* an object, or NULL if there was none */
};

/*
 * Take @value apart.  Returns 0, or -EINVAL with AW_REQUEST (or AW_PARAMS for
 * params that are no object) in @err; ret->id is then the id to answer with,
 * if one could be read, else NULL (answer with null).
 */
int message_parse(const json_t *value, struct message *ret, struct aw_err *err);

/* {"jsonrpc":"2.0","id":ID,"result": - the caller adds the result's text and "}". */
void message_begin_result(struct buf *b, const json_t *id);
/* A whole error reply, without the newline.  @id NULL prints null. */
void message_add_error(struct buf *b, const json_t *id, const struct aw_err *err);
/* A whole request or notification (@id < 0), without the newline.  Borrows @params; NULL = none. */
void message_add_request(struct buf *b, int64_t id, const char *method, const json_t *params);

#endif
