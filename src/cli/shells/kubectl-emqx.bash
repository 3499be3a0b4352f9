# Completion of kubectl-emqx in bash: source <(kubectl-emqx completion bash)
_kubectl_emqx() {
    local line directive value cut last
    local words=() count=0 glue='' index
    # bash parts words at these, too; they belong together.
    for ((index = 1; index <= COMP_CWORD; index++)); do
        last=${COMP_WORDS[index]}
        if ((count > 0)) && [[ -n $glue || $last == [=:@] ]]; then
            words[count - 1]+=$last
        else
            words[count]=$last
            ((count++))
        fi
        glue=''
        [[ $last == [=:@] ]] && glue=1
    done
    COMPREPLY=()
    # Only what follows the last of them is replaced.
    [[ $last == [=:@] ]] && last=''
    value=${words[count - 1]}
    [[ $value == --*=* ]] && value=${value#*=}
    cut=${value%"$last"}
    directive=0
    while IFS= read -r line; do
        case $line in
        :*) directive=${line#:} ;;
        *)
            line=${line%%$'\t'*}
            COMPREPLY+=("${line#"$cut"}")
            ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
    if [[ $(type -t compopt) == builtin ]]; then
        ((directive & 2)) && compopt -o nospace
        ((directive & 4)) && compopt +o default
    fi
    return 0
}
complete -o default -F _kubectl_emqx kubectl-emqx
