/* SPDX-License-Identifier: MIT */
#ifndef PROTO_ERR_H
#define PROTO_ERR_H

#include <jansson.h>

/*
 * Every error that a person or a program outside can meet has one code.  Each
 * has a word; those that answer a request have a JSON-RPC number too.  The
 * first group answers requests, the second stands in a job's "error".
 */
enum aw_code {
	AW_OK,

	AW_PARSE,	  /* -32700 */
	AW_REQUEST,	  /* -32600 */
	AW_METHOD,	  /* -32601 */
	AW_PARAMS,	  /* -32602 */
	AW_INTERNAL,	  /* -32603 */
	AW_NOT_FOUND,	  /* -32001 */
	AW_WRONG_STATE,	  /* -32002 */
	AW_DENIED,	  /* -32003 */
	AW_CONFLICT,	  /* -32004 */
	AW_LIMIT,	  /* -32005 */
	AW_STORAGE_FULL,  /* -32006; a job's error too */
	AW_SHUTTING_DOWN, /* -32007 */
	AW_UNSUPPORTED,	  /* -32008 */

	AW_EXIT,
	AW_SIGNAL,
	AW_SPAWN,
	AW_HTTP,
	AW_NETWORK,
	AW_TLS,
	AW_CHECKSUM,
	AW_TOO_LARGE,
	AW_IO,
	AW_TIMEOUT,
	AW_DEADLINE,
	AW_LOST,
	AW_CRASH_LOOP,
	AW_DAMAGED,
	AW_PART_FAILED,
	AW_NEEDS,
	AW_CANCELLED,

	N_AW_CODES
};

/* The word of @code ("not_found"), a constant. */
const char *aw_code_word(enum aw_code code);

/* Its JSON-RPC number; 0 for codes that only stand in a job's error. */
int aw_code_rpc(enum aw_code code);

/*
 * A reason for a person.  Filled by the lowest function that knows the facts;
 * the ones above pass it on.  Zero-initialise it; aw_err_fini() when done.
 */
struct aw_err {
	enum aw_code code;
	/* JSON pointer into the parameters, "" = the whole; one too long ends with a whole step. */
	char path[256];
	char message[512]; /* one sentence, says what to do where that is known */
	/* Owns; NULL, or an object merged beside code and message ("exit", "stage", ...). */
	json_t *facts;
};

/* Drops the facts and makes @err empty.  Takes a zeroed one. */
void aw_err_fini(struct aw_err *err);

/*
 * Fill @err (what it held is dropped).  Always returns -EINVAL, so that
 * "return aw_fail(...)" reads well: what went wrong is err->code, never errno.
 */
int aw_fail(struct aw_err *err, enum aw_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for AW_PARAMS-like errors that name a place in a document. */
int aw_fail_at(struct aw_err *err, enum aw_code code, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Put @prefix in front of the path, where the document that it is about is a part of another. */
void aw_err_put_under(struct aw_err *err, const char *prefix);

/*
 * Add a fact to @err, e.g. aw_err_fact(err, "exit", json_integer(3)).  Takes
 * @value; NULL (jansson's answer to text that is no UTF-8) is null.
 */
void aw_err_fact(struct aw_err *err, const char *name, json_t *value);

/* A job's error object {"code", "message", facts...}.  Gives it; @err stays as it is. */
json_t *aw_err_job_json(const struct aw_err *err);

#endif
