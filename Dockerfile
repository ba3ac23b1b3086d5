# The image of all parts: one static binary on a base without a shell.
#
# Both base images are arguments, so that the image can be built where no registry is reachable:
# hack/image.sh does so with the Go toolchain and the modules of this machine.
ARG GO_IMAGE=docker.io/library/golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY main.go default.pgo ./
COPY api ./api
COPY config/crd ./config/crd
COPY controllers ./controllers
COPY internal ./internal
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath \
    -ldflags "-s -w -X github.com/bulkhead-dev/bulkhead/internal/cmd.Version=${VERSION}" \
    -o /bulkhead .

FROM ${BASE_IMAGE}
COPY --from=build /bulkhead /bulkhead
USER 65532:65532
ENTRYPOINT ["/bulkhead"]
