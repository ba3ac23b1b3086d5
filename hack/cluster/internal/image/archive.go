// SPDX-License-Identifier: Apache-2.0

// Package image writes the few container images that a cluster needs, from programs
// of this machine, as archives that containerd imports.
package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// File is one file of an image.
type File struct {
	Path string // without a leading slash; a folder ends in a slash
	Mode int64
	Data []byte
	Link string // a symbolic link's target
}

// Image is an image with a single layer.
type Image struct {
	Reference string
	Files     []File
	Config    v1.ImageConfig
}

// Write writes the image as an OCI archive.
func (i Image) Write(path string) error {
	layer, err := pack(i.Files)
	if err != nil {
		return fmt.Errorf("pack image %s: %w", i.Reference, err)
	}
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	config, err := json.Marshal(v1.Image{
		Platform: platform,
		Config:   i.Config,
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	if err != nil {
		return fmt.Errorf("encode the config of image %s: %w", i.Reference, err)
	}
	manifest, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    describe(v1.MediaTypeImageConfig, config),
		Layers:    []v1.Descriptor{describe(v1.MediaTypeImageLayer, layer)},
	})
	if err != nil {
		return fmt.Errorf("encode the manifest of image %s: %w", i.Reference, err)
	}
	entry := describe(v1.MediaTypeImageManifest, manifest)
	entry.Platform = &platform
	entry.Annotations = map[string]string{"io.containerd.image.name": i.Reference}
	index, err := json.Marshal(v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{entry},
	})
	if err != nil {
		return fmt.Errorf("encode the index of image %s: %w", i.Reference, err)
	}
	archive, err := pack([]File{
		{Path: v1.ImageLayoutFile, Mode: 0o644, Data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{Path: v1.ImageIndexFile, Mode: 0o644, Data: index},
		blob(config), blob(layer), blob(manifest),
	})
	if err != nil {
		return fmt.Errorf("pack image %s: %w", i.Reference, err)
	}
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		return fmt.Errorf("write image %s: %w", i.Reference, err)
	}
	return nil
}

func describe(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func blob(data []byte) File {
	return File{Path: "blobs/sha256/" + digest.FromBytes(data).Encoded(), Mode: 0o644, Data: data}
}

// pack writes files into a tar archive. It sets no times, so that the same files
// always give the same image.
func pack(files []File) ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, file := range files {
		header := &tar.Header{Name: file.Path, Mode: file.Mode, Size: int64(len(file.Data)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(file.Path, "/"):
			header.Typeflag = tar.TypeDir
		case file.Link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, file.Link
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(file.Data); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return buffer.Bytes(), err
}
