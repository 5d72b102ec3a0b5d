/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

/* How every program of unit tests ends: all of @sr is run and freed; the status of main(). */
static inline int suite_end(SRunner *sr)
{
	int n_failed;

	srunner_run_all(sr, CK_ENV);
	n_failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline int suite_run(Suite *suite)
{
	return suite_end(srunner_create(suite));
}

#endif
