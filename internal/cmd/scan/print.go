// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// formats are what --output can be.
var formats = []string{"table", "wide", "json", "yaml"}

// print writes the result in the format.
func print(out io.Writer, format string, s screen, r *result) error {
	buffered := bufio.NewWriter(out)
	var err error
	switch format {
	case "yaml":
		var text []byte
		if text, err = yaml.Marshal(r); err == nil {
			// So that several are as many documents.
			fmt.Fprintln(buffered, "---")
			_, err = buffered.Write(text)
		}
	case "json":
		e := json.NewEncoder(buffered)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	default:
		err = r.table(buffered, s, format == "wide")
	}
	if err != nil {
		return err
	}
	return buffered.Flush()
}
