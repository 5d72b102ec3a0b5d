/* SPDX-License-Identifier: MIT */
#include "daemon/co/switch.h"

#ifdef SWITCH_X86_64

/*
 * A jump instead of a return: the processor would predict the return to go to
 * whoever called last, which after a switch is always wrong.
 *
 * This file has, on purpose, no note that it is fit for a shadow stack: one
 * stack of return addresses cannot follow us.  The linker then says so for the
 * whole program and the kernel leaves it off.  For the same reason the jump is
 * marked as one whose target need not begin with endbr64.
 */
#ifdef __CET__
#define LANDING endbr64
#define JUMP_BACK notrack jmp *%rcx
#else
#define LANDING
#define JUMP_BACK jmp *%rcx
#endif

	.macro keep reg
	pushq	%\reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %\reg, 0
	.endm

	.macro restore reg
	popq	%\reg
	.cfi_adjust_cfa_offset -8
	.cfi_restore %\reg
	.endm

	.macro keep_all
	keep	rbp
	keep	rbx
	keep	r12
	keep	r13
	keep	r14
	keep	r15
	.endm

	.macro restore_all_and_jump
	restore	r15
	restore	r14
	restore	r13
	restore	r12
	restore	rbx
	restore	rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	JUMP_BACK
	.endm

	.text

	.globl	switch_in
	.hidden	switch_in
	.type	switch_in, @function
	.p2align 6
switch_in:
	.cfi_startproc
	LANDING
	keep_all
	movq	%rsp, loop_sp(%rip)
	movq	(%rdi), %rsp
	movl	%esi, %eax
	restore_all_and_jump
	.cfi_endproc
	.size	switch_in, . - switch_in

	.globl	switch_out
	.hidden	switch_out
	.type	switch_out, @function
	.p2align 6
switch_out:
	.cfi_startproc
	LANDING
	keep_all
	movq	%rsp, (%rdi)
	movq	loop_sp(%rip), %rsp
	restore_all_and_jump
	.cfi_endproc
	.size	switch_out, . - switch_out

	.local	loop_sp
	.comm	loop_sp, 8, 8

#endif

	.section .note.GNU-stack, "", %progbits
