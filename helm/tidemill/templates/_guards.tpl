{{- /*
Combinations that cannot work. Each is refused with a sentence that says why and what to do; the first found is told.
*/ -}}
{{- define "tidemill.guards" -}}
{{- $config := .Values.config -}}
{{- $mqtt := $config.mqtt | default dict -}}
{{- $durable := eq .Values.workload "StatefulSet" -}}
{{- $scaling := .Values.autoscaling -}}

{{- if not .Values.image.repository -}}
{{- fail "image.repository is empty: name the image of your worker." -}}
{{- end -}}

{{- with ($config.identity | default dict).mode -}}
{{- if and (eq . "durable") (not $durable) -}}
{{- fail "config.identity.mode is durable, but replicas of a Deployment have no name that outlives them: set workload to StatefulSet." -}}
{{- else if and (eq . "ephemeral") $durable -}}
{{- fail "config.identity.mode is ephemeral, but a StatefulSet is there for its durable identities: set workload to Deployment." -}}
{{- end -}}
{{- end -}}
{{- $platform := include "tidemill.isPlatform" . -}}
{{- $account := $config.platform | default dict -}}
{{- if $account.token -}}
{{- fail "config.platform.token would stand in a ConfigMap for everyone to read: put it into a Secret and name that in auth.existingSecret." -}}
{{- end -}}
{{- if and $account.app (not $platform) -}}
{{- fail "config.platform names an application, but the worker is no client of the platform: set config.identity.mode to platform, or remove config.platform." -}}
{{- end -}}
{{- if $platform -}}
{{- if and .Values.auth.existingSecret (not $account.api_key) -}}
{{- fail "auth.existingSecret has a token, but there is no key that it belongs to: set config.platform.api_key." -}}
{{- end -}}
{{- if and .Values.auth.existingSecret $account.token_file -}}
{{- fail "config.platform.token_file and auth.existingSecret both name the token: remove one of the two." -}}
{{- end -}}
{{- if and (eq (toString $account.clean_session) "false") (not $durable) -}}
{{- fail "config.platform.clean_session is false, but replicas of a Deployment have no name that outlives them: set workload to StatefulSet." -}}
{{- end -}}
{{- if and (eq (toString $account.shape) "application") (or (not $durable) (ne (int64 .Values.replicas) 1) (include "tidemill.isAutoscaled" .)) -}}
{{- fail "config.platform.shape is application, of which a second connection closes the first: set it to scalable, or workload to StatefulSet with one replica." -}}
{{- end -}}
{{- end -}}
{{- if ($config.identity | default dict).replica -}}
{{- fail "config.identity.replica would be the same on all replicas: leave it out, each pod gets its own name." -}}
{{- end -}}
{{- if and $platform $mqtt.session_expiry -}}
{{- fail "config.mqtt.session_expiry is nothing that the platform knows: leave it out; config.platform.clean_session says whether sessions are kept." -}}
{{- end -}}
{{- with $mqtt.session_expiry -}}
{{- $expiry := include "tidemill.seconds" (dict "key" "config.mqtt.session_expiry" "text" .) | int64 -}}
{{- if and (not $durable) (gt $expiry 0) -}}
{{- fail "config.mqtt.session_expiry is set, but generated client IDs never return to their sessions: leave it out, or set workload to StatefulSet." -}}
{{- else if and $durable (lt $expiry (include "tidemill.terminationGracePeriodSeconds" $ | int64)) -}}
{{- fail "config.mqtt.session_expiry is below the grace period of a pod, so that a replica which crashes or is killed has lost its session before it is back: set it to 10m or more." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.persistence.enabled (not $durable) -}}
{{- fail "persistence.enabled needs a volume for each replica, which a Deployment does not have: set workload to StatefulSet." -}}
{{- end -}}

{{- if and $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- fail "autoscaling.hpa and autoscaling.keda are both enabled and would fight for the replicas, as KEDA makes a HorizontalPodAutoscaler of its own: enable one." -}}
{{- end -}}
{{- if include "tidemill.isAutoscaled" . -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas: lower it." -}}
{{- end -}}
{{- if and (not $scaling.saturationPercent) (not $scaling.cpuPercent) -}}
{{- fail "autoscaling has no signal: set autoscaling.saturationPercent or autoscaling.cpuPercent." -}}
{{- end -}}
{{- if and $scaling.cpuPercent (not (dig "requests" "cpu" "" .Values.resources)) -}}
{{- fail "autoscaling.cpuPercent is a share of the CPU request, and there is none: set resources.requests.cpu, or autoscaling.cpuPercent to 0." -}}
{{- end -}}
{{- if and $scaling.saturationPercent (kindIs "map" $config.instances) -}}
{{- fail "config.instances is elastic and autoscaling.saturationPercent looks at the same windows, so that the two undo each other: set autoscaling.saturationPercent to 0, or config.instances to a number." -}}
{{- end -}}
{{- if $config.broadcast -}}
{{- fail "autoscaling cannot help when config.broadcast gives every event to every replica: remove one of the two." -}}
{{- end -}}
{{- end -}}
{{- if and $scaling.keda.enabled $scaling.saturationPercent (not $scaling.keda.serverAddress) -}}
{{- fail "autoscaling.keda asks Prometheus for the saturation: set autoscaling.keda.serverAddress." -}}
{{- end -}}
{{- if and $config.broadcast (dig "name" "" ($config.group | default dict)) -}}
{{- fail "config.broadcast gives every event to all, config.group.name to one: remove one of the two." -}}
{{- end -}}

{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled, and every replica would be scraped twice: enable one." -}}
{{- end -}}

{{- if $mqtt.password -}}
{{- fail "config.mqtt.password would stand in a ConfigMap for everyone to read: put it into a Secret and name that in auth.existingSecret." -}}
{{- end -}}
{{- if and .Values.auth.existingSecret (not $platform) (not $mqtt.username) -}}
{{- fail "auth.existingSecret has a password, but nobody to use it: set config.mqtt.username." -}}
{{- end -}}
{{- if and .Values.auth.existingSecret $mqtt.password_file -}}
{{- fail "config.mqtt.password_file and auth.existingSecret both name the password: remove one of the two." -}}
{{- end -}}
{{- $url := $mqtt.url | default "" -}}
{{- range prepend ($mqtt.fallback_urls | default list) $url -}}
{{- if contains "@" . -}}
{{- fail "config.mqtt.url holds a user name or a password: put the name into config.mqtt.username and the password into a Secret that auth.existingSecret names." -}}
{{- end -}}
{{- end -}}
{{- $tls := .Values.tls -}}
{{- if and $tls.ca.existingSecret $tls.ca.existingConfigMap -}}
{{- fail "tls.ca.existingSecret and tls.ca.existingConfigMap both name the certificates to trust: remove one of the two." -}}
{{- end -}}
{{- if and (or $tls.ca.existingSecret $tls.ca.existingConfigMap $tls.client.existingSecret) (not (or (hasPrefix "mqtts://" $url) (hasPrefix "wss://" $url))) -}}
{{- fail "tls is set, but config.mqtt.url has no TLS: write mqtts:// or wss://." -}}
{{- end -}}
{{- range list "ca_file" "cert_file" "key_file" -}}
{{- if dig . "" ($mqtt.tls | default dict) -}}
{{- $value := ternary "tls.ca" "tls.client" (eq . "ca_file") -}}
{{- if or (and (eq . "ca_file") (or $tls.ca.existingSecret $tls.ca.existingConfigMap)) (and (ne . "ca_file") $tls.client.existingSecret) -}}
{{- fail (printf "config.mqtt.tls.%s and %s both name the file: remove one of the two." . $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $admin := $config.admin | default dict -}}
{{- if $admin -}}
{{- fail "config.admin is left to the chart, as probes and metrics depend on it: set admin.address, admin.port and admin.token." -}}
{{- end -}}
{{- $needed := add (include "tidemill.drainSeconds" . | int64) (int64 .Values.terminationMarginSeconds) -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- if lt (int64 .) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but draining and its margin may take %d seconds, and the rest would be cut off: raise it or leave it out." (int64 .) $needed) -}}
{{- end -}}
{{- end -}}
{{- range .Values.secretFiles -}}
{{- if has .name (list "broker" "ca" "client" "admin") -}}
{{- fail (printf "secretFiles: the name %q is taken by the chart: choose another." .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name (list "TIDEMILL_CONFIG" "TIDEMILL_IDENTITY__REPLICA" "TIDEMILL_IDENTITY__MODE" "TIDEMILL_ADMIN__LISTEN" "TIDEMILL_ADMIN__ENABLED" "TIDEMILL_DRAIN__DEADLINE" "TIDEMILL_DRAIN__FORCE") -}}
{{- fail (printf "extraEnv: %s would undo what the chart has set: use the value for it." .name) -}}
{{- end -}}
{{- if and (has .name (list "TIDEMILL_MQTT__PASSWORD" "TIDEMILL_PLATFORM__TOKEN")) .value -}}
{{- fail "extraEnv: a password or token does not belong into values: put it into a Secret and name that in auth.existingSecret." -}}
{{- end -}}
{{- end -}}
{{- end -}}
