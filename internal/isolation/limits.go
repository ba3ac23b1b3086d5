// SPDX-License-Identifier: Apache-2.0

package isolation

import "strconv"

// MaxListed is how many containers and volumes a pod may have, and how many ports, added capabilities,
// mounts and devices each of its containers, for it to be judged. Judging takes memory and time for each,
// and whoever may create pods chooses how many there are: the API server takes 3 MiB of them.
const MaxListed = 500

// MaxListedInAll is how many of these all containers of a pod may have together.
const MaxListedInAll = 10_000

// TooLarge is the reason against a pod that has more.
const TooLarge = "it has more than 500 containers or volumes, or ports, added capabilities, volumeMounts or volumeDevices of one container: too many to judge"

// tooLarge tells whether a subject is not judged any further, whatever it asks for: what could not be
// judged never passes. It sees what was decoded; what decoding costs it does not bound.
func (s *Subject) tooLarge() bool {
	spec := s.Spec
	if len(spec.InitContainers) > MaxListed || len(spec.Containers) > MaxListed || len(spec.EphemeralContainers) > MaxListed || len(spec.Volumes) > MaxListed {
		return true
	}
	containers, all, long := 0, 0, false
	count := func(c container) {
		containers++
		capabilities := 0
		if c.SecurityContext != nil && c.SecurityContext.Capabilities != nil {
			capabilities = len(c.SecurityContext.Capabilities.Add)
		}
		for _, n := range [...]int{len(c.Ports), capabilities, len(c.VolumeMounts), len(c.VolumeDevices)} {
			all += n
			long = long || n > MaxListed
		}
	}
	if s.Debug == nil {
		scope{Subject: s}.containers(count)
	}
	scope{Subject: s, ephemeral: true}.containers(count)
	return containers > MaxListed || all > MaxListedInAll || long
}

// tooLargeViolation says so.
func (p *Policy) tooLargeViolation(s *Subject) Violation {
	return Violation{Policy: p.Name, Field: s.Path, Value: "more than " + strconv.Itoa(MaxListed), Message: TooLarge}
}
