{{- /*
The configuration file. Helm's own `toToml` writes whole numbers of values as floats, which the worker refuses, so it is
written here: keys of a table first, then the tables in it.
*/ -}}

{{- /* The keys of `config` and those that the chart decides, as YAML. */ -}}
{{- define "tidemill.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- range list "mqtt" "group" "identity" "platform" "admin" "drain" -}}
{{- if not (kindIs "map" (get $config .)) -}}{{- $_ := set $config . dict -}}{{- end -}}
{{- end -}}
{{- $secrets := "/run/secrets/tidemill" -}}
{{- $_ := set $config.admin "enabled" true -}}
{{- $address := ternary (printf "[%s]" .Values.admin.address) .Values.admin.address (contains ":" .Values.admin.address) -}}
{{- $_ := set $config.admin "listen" (printf "%s:%d" $address (int64 .Values.admin.port)) -}}
{{- if .Values.admin.token.existingSecret -}}
{{- $_ := set $config.admin "token_file" (printf "%s/admin/token" $secrets) -}}
{{- end -}}
{{- /* On the platform the group has the application's name, and sessions are its own. */ -}}
{{- $platform := include "tidemill.isPlatform" . -}}
{{- if not $platform -}}
{{- $durable := include "tidemill.isDurable" . -}}
{{- $_ := set $config.identity "mode" (ternary "durable" "ephemeral" (eq $durable "true")) -}}
{{- if and $durable (not $config.mqtt.session_expiry) -}}
{{- $_ := set $config.mqtt "session_expiry" "1h" -}}
{{- end -}}
{{- if and $durable .Values.persistence.enabled (not (hasKey $config.identity "state_dir")) -}}
{{- $_ := set $config.identity "state_dir" (printf "%s/state" (trimSuffix "/" .Values.persistence.mountPath)) -}}
{{- end -}}
{{- if not (or $config.group.name $config.broadcast) -}}
{{- $_ := set $config.group "name" (include "tidemill.fullname" .) -}}
{{- end -}}
{{- end -}}
{{- if not $config.drain.deadline -}}{{- $_ := set $config.drain "deadline" "30s" -}}{{- end -}}
{{- if .Values.auth.existingSecret -}}
{{- $password := printf "%s/broker/password" $secrets -}}
{{- if $platform -}}{{- $_ := set $config.platform "token_file" $password -}}
{{- else -}}{{- $_ := set $config.mqtt "password_file" $password -}}
{{- end -}}
{{- end -}}
{{- $hasTls := or .Values.tls.ca.existingSecret .Values.tls.ca.existingConfigMap .Values.tls.client.existingSecret -}}
{{- if and $hasTls (not (kindIs "map" $config.mqtt.tls)) -}}{{- $_ := set $config.mqtt "tls" dict -}}{{- end -}}
{{- if or .Values.tls.ca.existingSecret .Values.tls.ca.existingConfigMap -}}
{{- $_ := set $config.mqtt.tls "ca_file" (printf "%s/ca/ca.crt" $secrets) -}}
{{- end -}}
{{- if .Values.tls.client.existingSecret -}}
{{- $_ := set $config.mqtt.tls "cert_file" (printf "%s/client/tls.crt" $secrets) -}}
{{- $_ := set $config.mqtt.tls "key_file" (printf "%s/client/tls.key" $secrets) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "tidemill.configFile" -}}
# Written by the chart, from the value `config`.
{{ include "tidemill.toml.table" (dict "path" "" "table" (include "tidemill.config" . | fromYaml)) }}
{{- end -}}

{{- define "tidemill.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "tidemill.toml.table" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) -}}
{{ include "tidemill.toml.key" $key }} = {{ include "tidemill.toml.value" $value }}
{{ end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if and (kindIs "map" $value) $value }}
{{- $inner := include "tidemill.toml.key" $key -}}
{{- if $path }}{{ $inner = printf "%s.%s" $path $inner }}{{ end }}
[{{ $inner }}]
{{ include "tidemill.toml.table" (dict "path" $inner "table" $value) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.toml.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $at, $item := . }}{{ if $at }}, {{ end }}{{ include "tidemill.toml.value" $item }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{ $first := true }}{{ range $key, $item := . }}{{ if not $first }}, {{ end }}{{ $first = false }}
{{- include "tidemill.toml.key" $key }} = {{ include "tidemill.toml.value" $item }}{{ end }} }
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{- /* JSON writes texts, numbers and truth as TOML does. */ -}}
{{ toJson . }}
{{- end -}}
{{- end -}}
