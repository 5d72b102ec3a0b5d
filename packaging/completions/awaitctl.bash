# SPDX-License-Identifier: MIT
# Completion of awaitctl for bash. What there is to choose from awaitctl says
# itself (client/complete.c); this hands it over.

_awaitctl()
{
	local IFS=$' \t\n' words=() behind='' line i
	COMPREPLY=()

	# bash takes --state=x apart at the "=".
	for ((i = 1; i <= COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == '=' && ${#words[@]} -gt 0 ]]; then
			words[-1]+='='
			if ((i < COMP_CWORD)); then
				i=$((i + 1))
				words[-1]+=${COMP_WORDS[i]}
			fi
		else
			words+=("${COMP_WORDS[i]}")
		fi
	done
	local cur=${words[-1]-}
	[[ $cur == --*=* ]] && behind=${cur%%=*}=

	while IFS= read -r line; do
		case $line in
		:file) mapfile -t COMPREPLY < <(compgen -f -- "${cur#"$behind"}") ;;
		:dir) mapfile -t COMPREPLY < <(compgen -d -- "${cur#"$behind"}") ;;
		:command) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
		*)
			line=${line%%$'\t'*}
			COMPREPLY+=("${line#"$behind"}")
			;;
		esac
<<<<<<< HEAD
	done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null)
	[[ $line == :* ]] && compopt -o filenames 2>/dev/null
	return 0
=======
	done

	case $prev in
	--socket | --output | --stdin-file | -f | --file)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--cwd)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--state) words='waiting running stopping done' ;;
	--outcome) words='succeeded failed timed_out cancelled skipped lost' ;;
	--kind) words='timer fetch worker gather sequence race' ;;
	--stream) words='both stdout stderr' ;;
	--on-lost) words='retry fail' ;;
	esac

	if [[ -z $words ]]; then
		if [[ $cur == -* && $command == @(submit|run) && -n $kind ]]; then
			words=$(_awaitctl_options "$program" "$command" "$kind")
		elif [[ $cur == -* ]]; then
			words=$(_awaitctl_options "$program" $command)
		else
			case $command in
			'') words=$(_awaitctl_commands "$program") ;;
			submit | run)
				if [[ -z $kind ]]; then
					words='worker fetch timer'
				elif [[ $kind == worker ]]; then
					mapfile -t COMPREPLY < <(compgen -c -- "$cur")
					return
				fi
				;;
			cancel | wait) words=$(_awaitctl_ids "$program" waiting,running,stopping) ;;
			remove) words=$(_awaitctl_ids "$program" 'done') ;;
			show | output | timeline) words=$(_awaitctl_ids "$program" waiting,running,stopping,done) ;;
			queue) [[ -z $kind ]] && words='list set pause resume' ;;
			esac
		fi
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
>>>>>>> 020d311 (client: list draws compositions as a tree; timeline)
}

complete -F _awaitctl awaitctl
