/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/*
 * One input for the part of awaitd that a harness is about.  Called by
 * libFuzzer, or by replay.c for each file of a corpus.  Returns 0; what is
 * wrong ends the program (assert, sanitizers).
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
