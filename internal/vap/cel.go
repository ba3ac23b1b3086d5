// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// created is true when a pod is created; otherwise ephemeral containers are added to one.
const created = "request.operation == 'CREATE'"

// remedyOfPod is the remedy against a field of the pod, which debug containers share.
func remedyOfPod(remedy string) string {
	return "(" + created + " ? " + literal(remedy) + " : " + literal(isolation.RemedyInPod) + ")"
}

// literal is a string in CEL.
func literal(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// literals is a list of strings in CEL.
func literals(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = literal(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// allOf, anyOf and sum join what is not empty. Each operand binds tighter than the operator.
func allOf(operands ...string) string { return joined(" && ", operands) }
func anyOf(operands ...string) string { return joined(" || ", operands) }
func sum(lists ...string) string      { return joined(" +\n", lists) }

func joined(operator string, operands []string) string {
	var out []string
	for _, o := range operands {
		if o != "" {
			out = append(out, o)
		}
	}
	return strings.Join(out, operator)
}

// not is the contrary of any of the operands; empty if there are none.
func not(operands ...string) string {
	any := anyOf(operands...)
	if any == "" {
		return ""
	}
	return "!(" + any + ")"
}

// when is the list of one sentence if the condition holds, and empty otherwise.
func when(condition, sentence string) string {
	return "(" + condition + " ? [" + sentence + "] : [])"
}

// shown is a value of the pod for a message, not too long.
func shown(value string) string {
	return "(" + value + ".size() <= 128 ? " + value + " : " + value + ".substring(0, 125) + '...')"
}

// oneLine is a value of the pod for a message that is one of several lines.
func oneLine(value string) string { return shown(value) + `.replace('\n', '?')` }

// flat makes a list of strings of a list of lists of strings without line breaks: CEL has nothing
// else to do that.
func flat(lists string) string {
	return lists + `.join('\n').split('\n').filter(line, line != '')`
}
