/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_JOBARGS_H
#define CLIENT_JOBARGS_H

#include "client/verb.h"
#include "proto/names.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A job document for submit and run: "worker [OPTIONS] -- COMMAND ARG..." on
 * the command line, or one in a file.
 */

struct job_args {
	enum job_kind kind;
	json_t *doc; /* owns */
	bool is_from_file;
	bool is_body_to_stdout; /* --output - */
	const char *stdin_file; /* borrows from argv */
};

/* Where submit and run take documents from: what stands before a kind. */
struct job_source {
	const char *file; /* borrows from argv; NULL = the command line, which begins with a kind */
	int n_args;
};
/* For the verb's table of options. */
#define JOB_SOURCE_OPT(text)                                                                      \
	{                                                                                         \
		.name = "file", .letter = 'f', .type = OPT_TEXT, .metavar = "FILE", .help = text, \
		.offset = offsetof(struct job_source, file)                                       \
	}
/*
 * Read options up to the first argument.  Returns -1 to go on, with the kind and
 * all behind it in argv[0 ... n_args - 1], or the status to leave with.
 */
int job_source_parse(struct client *client, const struct verb *verb, int argc, char **argv,
		     struct job_source *ret);

/*
 * Read a kind (argv[0]), its options and its arguments.  Returns -1 to go on,
 * or the status to leave with.
 */
int job_args_parse(struct client *client, const struct verb *verb, int argc, char **argv,
		   struct job_args *ret);
/*
 * Read the one document in the file @path ("-" = standard input).  Returns -1
 * to go on, or the status to leave with.
 */
int job_args_read(const struct verb *verb, const char *path, struct job_args *ret);
void job_args_fini(struct job_args *args);

/* Can it be given on the command line?  Others come from files. */
bool job_kind_has_options(enum job_kind kind);
/* The tables of the options that a job of @kind has; four of them go to @sets. */
struct job_tables *job_tables_new(enum job_kind kind);
void job_tables_add(const struct job_tables *t, struct opt_set *sets);
void job_tables_free(struct job_tables *t);

/*
 * Make a connection and the document complete: our directory, when the daemon
 * is our own (a document from a file says itself what it wants); an
 * idempotency key.  STATUS_OK, or a status after saying what is wrong.
 */
int job_args_complete(struct client *client, struct job_args *args);

/*
 * A new idempotency key: no two are ever the same, and later ones sort behind
 * earlier ones (R2.6).
 */
#define JOB_KEY_BYTES 56
void job_key_make(char ret[JOB_KEY_BYTES]);

/*
 * @path from our directory, absolute; leading ".." go up from there.  The caller
 * frees it; NULL = no directory.
 */
char *path_from_here(const char *path);

#endif
