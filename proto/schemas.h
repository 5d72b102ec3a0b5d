/* SPDX-License-Identifier: MIT */
#ifndef PROTO_SCHEMAS_H
#define PROTO_SCHEMAS_H

/*
 * The JSON Schemas in proto/schemas/, as text: they are installed for others,
 * and built in for rpc.discover.  proto/schemas.c is made from the files.
 *
 * Each has its parts under "definitions", which no two files have in common;
 * a reference is "#/definitions/NAME", or "FILE.json#/definitions/NAME".
 * job-document.json follows from the table in proto/jobkeys.c: when that has
 * changed, tests/unit/schemas says how to write it again.
 */

struct proto_schema {
	const char *name; /* of the file, without ".json" */
	const char *text;
};

extern const struct proto_schema proto_schemas[]; /* ends with a NULL name */

#endif
