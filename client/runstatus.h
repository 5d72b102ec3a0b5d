/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_RUNSTATUS_H
#define CLIENT_RUNSTATUS_H

#include <jansson.h>

/*
 * What "run worker" exits with for a job that has ended: the command's own
 * status, 128 + N for signal N, 124 timed out, 126 it could not be run, 127
 * there is no such program, 130 cancelled, 125 anything else.
 */
int runstatus_of_worker(const json_t *job);

#endif
