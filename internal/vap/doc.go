// SPDX-License-Identifier: Apache-2.0

/*
Package vap says an IsolationPolicy in the API server's own language: it compiles it to a
ValidatingAdmissionPolicy (KEP-3488) and its binding, which the API server evaluates itself, with no
webhook in the way.

It is pure: no client, no clock. What is demanded is the core's ([isolation]), and a differential test
holds every verdict of what is written here against it. One axis or portal stands in one file, in the
order of [concerns]. Those that stand together are one variable of the ValidatingAdmissionPolicy, a list
of sentences, so that a person can read it with kubectl.

# What is used of CEL

The oldest API server is 1.34. It lets a new policy use what 1.33 knows (its compatibility version is
one behind): optional types, comprehensions with two variables (1.32), the string functions up to
replace and quote, regular expressions. It does not know cel.bind, flatten, slice, sort. So a value is
bound by a list of one element, and a list of lists is flattened by joining and splitting lines.

# What is bound

An API server gives each expression a cost of 1,000,000, and all of a policy 10,000,000, twice: for
validation with its message, and for audit annotations. A pod is bound by the 1.5 MiB that etcd takes.
The largest pods of ordinary shape fit; what does not fit is refused where the action is Deny (fail
closed), and passes untold where it is Warn or Audit: see the test of costs for where that begins. A
policy of which too small a pod would not fit is refused by [Compile].
*/
package vap
